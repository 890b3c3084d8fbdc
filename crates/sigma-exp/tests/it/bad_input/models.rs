//! Model folders: weights, configs and tokenizers that are broken, do not fit, or mean harm.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Case, case, check_with, copy, refused, words};
use crate::root;

/// The bundled model, damaged, as the base of the demo.
fn model(name: &'static str, damage: impl Fn(&Path) + 'static, expected: &'static [&'static str]) -> Case {
    let make = move |dir: &Path| {
        let folder = dir.join("model");
        copy(&root().join("data/models/opt-tiny"), &folder);
        damage(&folder);
        check_with(&[&format!("model.source={}", folder.display())])
    };
    case(name, make, expected)
}

/// The same as the encoder.
fn encoder(name: &'static str, damage: impl Fn(&Path) + 'static, expected: &'static [&'static str]) -> Case {
    let make = move |dir: &Path| {
        let folder = dir.join("model");
        copy(&root().join("data/models/opt-tiny"), &folder);
        damage(&folder);
        check_with(&[&format!("encoder.source={}", folder.display())])
    };
    case(name, make, expected)
}

fn json_file(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

/// `config.json` with one value replaced.
fn config(name: &'static str, key: &'static str, value: Value, expected: &'static [&'static str]) -> Case {
    let damage = move |folder: &Path| json_file(&folder.join("config.json"), |config| config[key] = value.clone());
    model(name, damage, expected)
}

/// `model.safetensors` with another header.
fn header(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..end]).unwrap();
    change(&mut header);
    let header = header.to_string();
    let parts = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[end..]];
    fs::write(&path, parts.concat()).unwrap();
}

fn weights(name: &'static str, content: impl Into<Vec<u8>>, expected: &'static [&'static str]) -> Case {
    let content = content.into();
    model(name, move |folder| fs::write(folder.join("model.safetensors"), &content).unwrap(), expected)
}

/// A folder whose weights are a PyTorch file around this pickle.
fn pickle(name: &'static str, pickle: impl Into<Vec<u8>>, expected: &'static [&'static str]) -> Case {
    let pickle = pickle.into();
    let damage = move |folder: &Path| {
        fs::remove_file(folder.join("model.safetensors")).unwrap();
        let file = zip(&[("archive/data.pkl", &pickle), ("archive/data/0", &[0; 64])]);
        fs::write(folder.join("pytorch_model.bin"), file).unwrap();
    };
    model(name, damage, expected)
}

/// A zip file without compression.
fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::<u8>::new(), Vec::<u8>::new());
    for (name, data) in entries {
        let crc = !data.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        });
        let size = (data.len() as u32).to_le_bytes();
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        [&crc.to_le_bytes()[..], &size, &size, &(name.len() as u16).to_le_bytes(), &[0, 0]]
            .iter()
            .for_each(|part| common.extend_from_slice(part));
        directory.extend(b"PK\x01\x02\x14\x00".iter().chain(&common).chain(&[0; 10]));
        directory.extend((out.len() as u32).to_le_bytes().iter().chain(name.as_bytes()));
        out.extend(b"PK\x03\x04".iter().chain(&common).chain(name.as_bytes()).chain(*data));
    }
    let count = (entries.len() as u16).to_le_bytes();
    let (start, size) = ((out.len() as u32).to_le_bytes(), (directory.len() as u32).to_le_bytes());
    out.extend(directory);
    [&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &size, &start, &[0, 0]]
        .iter()
        .for_each(|part| out.extend_from_slice(part));
    out
}

/// One tensor called `w`, with these arguments of its reconstruction, as `torch.save` writes them.
fn tensor(shape: [i32; 2], storage: &str) -> Vec<u8> {
    let mut out = b"\x80\x02}(X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\n".to_vec();
    out.extend(storage.as_bytes());
    out.extend(b"\nX\x01\0\0\x000X\x03\0\0\0cpuK\x10tQK\0");
    for size in shape {
        out.extend([&b"J"[..], &size.to_le_bytes()].concat());
    }
    out.extend(b"\x86J");
    out.extend(shape[1].to_le_bytes());
    out.extend(b"K\x01\x86\x89NtRu.");
    out
}

#[test]
fn damaged_weights_are_refused_by_file_and_tensor() {
    let claimed = |size: u64| [&size.to_le_bytes()[..], b"{}"].concat();
    const NORM: &str = "model.decoder.final_layer_norm.weight";
    const FIRST: &str = "model.decoder.embed_tokens.weight";
    let cut = |folder: &Path| {
        let path = folder.join("model.safetensors");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 7]).unwrap();
    };
    let infinite = |folder: &Path| {
        let path = folder.join("model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        fs::write(&path, bytes).unwrap();
    };
    refused(vec![
        weights("empty", "", &["model.safetensors", "fetch it again"]),
        weights("a page instead of weights", "<!DOCTYPE html><html></html>", &["model.safetensors", "fetch it again"]),
        weights("a header of 2^63 bytes", claimed(1 << 63), &["model.safetensors", "fetch it again"]),
        weights("a header of 2^64 - 1 bytes", claimed(u64::MAX), &["model.safetensors", "fetch it again"]),
        weights("a header of 90 MB", claimed(90_000_000), &["model.safetensors", "fetch it again"]),
        weights("no tensors", claimed(2), &["model.safetensors", "0 tensors"]),
        model("cut short", cut, &["model.safetensors", "fetch it again"]),
        model("NaN", infinite, &["model.safetensors", "NaN"]),
        model(
            "overlapping tensors",
            |f| header(f, |h| h[NORM]["data_offsets"] = json!([0, 512])),
            &["model.safetensors"],
        ),
        model(
            "offsets beyond the end",
            |f| header(f, |h| h[NORM]["data_offsets"] = json!([1u64 << 60, (1u64 << 60) + 512])),
            &["model.safetensors"],
        ),
        model(
            "offsets the wrong way round",
            |f| header(f, |h| h[NORM]["data_offsets"] = json!([512, 0])),
            &["model.safetensors"],
        ),
        model(
            "a shape that overflows",
            |f| header(f, |h| h[NORM]["shape"] = json!([u64::MAX, 2])),
            &["model.safetensors"],
        ),
        model(
            "a wrong shape",
            |f| header(f, |h| h[FIRST]["shape"] = json!([1024, 256])),
            &["embed_tokens", "[2048, 128]"],
        ),
        model(
            "a missing tensor",
            |f| {
                header(f, |h| {
                    let o = h.as_object_mut().unwrap();
                    let v = o.remove(NORM).unwrap();
                    o.insert("x".to_string(), v);
                })
            },
            &[NORM, "missing"],
        ),
        model("an unknown type of numbers", |f| header(f, |h| h[NORM]["dtype"] = json!("F7")), &["model.safetensors"]),
        model("integers for weights", |f| header(f, |h| h[NORM]["dtype"] = json!("I32")), &[NORM, "missing"]),
        model("no weights", |f| fs::remove_file(f.join("model.safetensors")).unwrap(), &["model", "safetensors"]),
        model(
            "a shard outside the folder",
            |f| {
                fs::remove_file(f.join("model.safetensors")).unwrap();
                let index = json!({ "weight_map": { "x": "../../x.safetensors" } }).to_string();
                fs::write(f.join("model.safetensors.index.json"), index).unwrap();
            },
            &["../../x.safetensors", "plain file name"],
        ),
        model(
            "weights that are a folder",
            |f| {
                fs::remove_file(f.join("model.safetensors")).unwrap();
                fs::create_dir(f.join("model.safetensors")).unwrap();
            },
            &["model.safetensors"],
        ),
    ]);
}

#[test]
fn pickles_are_data_and_never_run() {
    let nested = [&b"\x80\x02)"[..], &b"\x85".repeat(3_000_000), b"."].concat();
    let doubling = [&b"\x80\x02)"[..], &b"q\0h\0\x86".repeat(200), b"."].concat();
    let dangerous = b"\x80\x02cposix\nsystem\n(X\x0b\0\0\0touch pwnedtR.".to_vec();
    let hidden = {
        let whole = tensor([4, 4], "FloatStorage");
        let end = whole.len() - 2;
        [&whole[..end], b"X\x01\0\0\0xcos\nsystem\nX\x02\0\0\0id\x85Ru."].concat()
    };
    refused(vec![
        pickle("a pickle that calls the shell", dangerous, &["pytorch_model.bin", "`posix.system`", "not run"]),
        pickle("a call hidden beside a tensor", hidden, &["`os.system`", "not run", "safetensors"]),
        pickle(
            "a pickle that evaluates",
            b"\x80\x02cbuiltins\neval\nX\x01\0\0\x001\x85R.".to_vec(),
            &["`builtins.eval`"],
        ),
        pickle("a pickle of an unknown protocol", b"\x80\x05\x95\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), &["0x95"]),
        pickle("a text of 4 GiB", b"\x80\x02X\xff\xff\xff\xffabc".to_vec(), &["ends early"]),
        pickle("three million tuples in each other", nested, &["no dictionary"]),
        pickle("a tuple that doubles 200 times", doubling, &["no dictionary"]),
        pickle("no pickle", b"hello".to_vec(), &["pytorch_model.bin", "fetch it again"]),
        pickle("a tensor larger than its data", tensor([1 << 30, 1 << 30], "FloatStorage"), &["`w`", "more data"]),
        pickle("a tensor of negative size", tensor([-1, 4], "FloatStorage"), &["`w`"]),
        pickle("an unknown type of numbers", tensor([4, 4], "QInt8Storage"), &["`w`", "QInt8Storage"]),
        pickle("a tensor of another model", tensor([4, 4], "FloatStorage"), &["pytorch_model.bin", "1 tensors"]),
        model(
            "no zip",
            |folder| {
                fs::remove_file(folder.join("model.safetensors")).unwrap();
                fs::write(folder.join("pytorch_model.bin"), b"\x80\x02cposix\nsystem\n").unwrap();
            },
            &["pytorch_model.bin", "fetch it again"],
        ),
    ]);
    assert!(!root().join("pwned").exists(), "the shell was called");
}

#[test]
fn configs_that_do_not_fit_the_weights_are_refused_by_key() {
    refused(vec![
        config(
            "a billion layers",
            "num_hidden_layers",
            json!(1_000_000_000),
            &["num_hidden_layers", "1000000000", "10000"],
        ),
        config("2^64 - 1 layers", "num_hidden_layers", json!(u64::MAX), &["num_hidden_layers", "10000"]),
        config(
            "more layers than tensors",
            "num_hidden_layers",
            json!(9999),
            &["num_hidden_layers", "different models"],
        ),
        config("a layer more", "num_hidden_layers", json!(5), &["layers.4", "missing"]),
        config("no layers", "num_hidden_layers", json!(0), &["num_hidden_layers", "from 1 to"]),
        config("an absurd width", "hidden_size", json!(1u64 << 62), &["config.json"]),
        config("an absurd vocabulary", "vocab_size", json!(u64::MAX), &["vocab_size", "from 1 to"]),
        config("a large vocabulary", "vocab_size", json!(2_000_000_000), &["embed_tokens", "shape"]),
        config("a negative vocabulary", "vocab_size", json!(-1), &["config.json"]),
        config("absurd positions", "max_position_embeddings", json!(u64::MAX), &["max_position_embeddings"]),
        config("heads that do not divide", "num_attention_heads", json!(3), &["num_attention_heads", "divide"]),
        config("no heads", "num_attention_heads", json!(0), &["num_attention_heads", "from 1 to"]),
        config("another architecture", "model_type", json!("mamba"), &["model_type", "mamba", "opt"]),
        config("another activation", "activation_function", json!("gelu"), &["activation_function", "relu"]),
        config("dropout of 1", "dropout", json!(1.0), &["dropout", "below 1"]),
        model("no config", |f| fs::remove_file(f.join("config.json")).unwrap(), &["config.json"]),
        model("a config that is a list", |f| fs::write(f.join("config.json"), "[]").unwrap(), &["config.json"]),
        model(
            "a config nested deeply",
            |f| fs::write(f.join("config.json"), "[".repeat(10_000)).unwrap(),
            &["config.json"],
        ),
        encoder(
            "an encoder of a billion layers",
            |f| json_file(&f.join("config.json"), |c| c["num_hidden_layers"] = json!(1_000_000_000)),
            &["num_hidden_layers"],
        ),
        encoder(
            "an encoder of no known kind",
            |f| json_file(&f.join("config.json"), |c| c["model_type"] = json!("t5")),
            &["model_type", "t5", "bert"],
        ),
        encoder(
            "an encoder without heads",
            |f| {
                let bert = json!({
                    "model_type": "bert", "vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 0,
                    "intermediate_size": 8, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "max_position_embeddings": 8,
                    "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0,
                });
                fs::write(f.join("config.json"), bert.to_string()).unwrap();
            },
            &["num_attention_heads", "from 1 to"],
        ),
    ]);
}

#[test]
fn broken_tokenizers_are_refused_by_file_and_token() {
    let tokenizer = |change: fn(&mut Value)| move |f: &Path| json_file(&f.join("tokenizer.json"), change);
    let files = |f: &Path| fs::remove_file(f.join("tokenizer.json")).unwrap();
    refused(vec![
        model("no JSON", |f| fs::write(f.join("tokenizer.json"), "{").unwrap(), &["tokenizer.json"]),
        model("no model", tokenizer(|t| t["model"] = json!({})), &["tokenizer.json"]),
        model("another kind", tokenizer(|t| t["model"]["type"] = json!("Unigram")), &["tokenizer.json", "Unigram"]),
        model(
            "ids twice",
            tokenizer(|t| {
                let v = &mut t["model"]["vocab"];
                let first = v["!"].clone();
                v["\""] = first;
            }),
            &["tokenizer.json", "both have the id"],
        ),
        model(
            "a merge of nothing",
            tokenizer(|t| t["model"]["merges"] = json!([["xx", "yy"]])),
            &["tokenizer.json", "merge"],
        ),
        model(
            "a vocabulary larger than the tokenizer",
            tokenizer(|t| {
                t["model"]["vocab"].as_object_mut().unwrap().retain(|_, id| id.as_u64().unwrap() < 300);
                t["model"]["merges"] = json!([]);
            }),
            &["model", "vocabulary of 2048", "only 300 entries", "another model"],
        ),
        model("more entries than rows", tokenizer(|t| t["model"]["vocab"]["zebra"] = json!(5000)), &["5001", "2048"]),
        model(
            "a merge of three",
            move |f| {
                files(f);
                fs::write(f.join("merges.txt"), "#version: 0.2\na b c\n").unwrap();
            },
            &["merges.txt:2", "two tokens"],
        ),
        model(
            "merges that are not UTF-8",
            move |f| {
                files(f);
                fs::write(f.join("merges.txt"), b"\xff").unwrap();
            },
            &["merges.txt"],
        ),
        model(
            "an empty vocabulary",
            move |f| {
                files(f);
                fs::write(f.join("vocab.json"), "{}").unwrap();
            },
            &["vocab.json", "byte"],
        ),
        model(
            "special tokens that are none",
            |f| {
                json_file(&f.join("tokenizer_config.json"), |c| {
                    c["bos_token"] = json!("<nowhere>");
                })
            },
            &["bos_token", "<nowhere>"],
        ),
        case(
            "no tokenizer",
            |dir| {
                let model = dir.join("model");
                copy(&root().join("data/models/opt-tiny"), &model);
                for name in ["tokenizer.json", "vocab.json", "merges.txt"] {
                    fs::remove_file(model.join(name)).unwrap();
                }
                words(&["check", "configs/demo_s2.yaml", "--set", &format!("model.source={}", model.display())])
            },
            &["tokenizer"],
        ),
    ]);
}
