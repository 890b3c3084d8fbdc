use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use sigma_data::{
    PromptsConfig, Shard, hash_file, read_answers, read_documents, read_prompts, read_texts, regular_file,
};
use tempfile::tempdir;

/// What is said of a file that does not exist as one.
fn refused(path: &Path) -> String {
    regular_file::open(path).unwrap_err().to_string()
}

#[test]
fn every_reader_refuses_a_pipe_at_once_instead_of_waiting_for_its_writer() {
    let folder = tempdir().unwrap();
    let names = ["a.jsonl", "a.csv", "a.tsv", "a.txt", "a.parquet", "a.npy", "a.safetensors"];
    for name in names {
        let path = folder.path().join(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let link = folder.path().join(format!("link to {name}"));
        symlink(&path, &link).unwrap();
        for path in [&path, &link] {
            assert!(refused(path).contains("not a regular file but a named pipe"), "{name}");
            let mut errors = vec![
                Shard::open(path, None).map(drop).unwrap_err(),
                hash_file(path).map(drop).unwrap_err(),
                read_answers(path).map(drop).unwrap_err(),
            ];
            if !name.ends_with(".npy") && !name.ends_with(".safetensors") {
                let prompts: PromptsConfig =
                    serde_json::from_value(serde_json::json!({ "path": path, "bucket": "neutral" })).unwrap();
                errors.push(read_documents(path, None, None).map(drop).unwrap_err());
                errors.push(read_texts(path, None).map(drop).unwrap_err());
                errors.push(read_prompts(path, &prompts).map(drop).unwrap_err());
            }
            for error in errors {
                let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                assert!(source.contains("not a regular file"), "{name}: {error}: {source}");
            }
        }
    }
}

#[test]
fn sockets_and_devices_are_told_apart_from_files_and_links_to_files_are_read() {
    let folder = tempdir().unwrap();
    let (socket, file, link) = (folder.path().join("s"), folder.path().join("f"), folder.path().join("l"));
    let _listener = UnixListener::bind(&socket).unwrap();
    assert!(refused(&socket).contains("a socket"));
    assert!(refused(Path::new("/dev/zero")).contains("a device"));
    fs::write(&file, "text").unwrap();
    symlink("f", &link).unwrap();
    assert_eq!(regular_file::read(&file).unwrap(), b"text");
    assert_eq!(regular_file::read_to_string(&link).unwrap(), "text");
    assert!(refused(&folder.path().join("none")).contains("No such file"));
}

#[test]
fn descriptors_are_known_by_all_their_names() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    symlink("/dev/stdin", path("a.jsonl")).unwrap();
    symlink("a.jsonl", path("b.jsonl")).unwrap();
    symlink("loop", path("loop")).unwrap();
    for name in ["/dev/stdin", "/dev/stdout", "/dev/fd/0", "/proc/self/fd/0"] {
        assert!(regular_file::is_descriptor(Path::new(name)), "{name}");
    }
    assert!(regular_file::is_descriptor(&path("a.jsonl")) && regular_file::is_descriptor(&path("b.jsonl")));
    for name in ["loop", "none", "fd/0"] {
        assert!(!regular_file::is_descriptor(&path(name)), "{name}");
    }
    assert!(!regular_file::is_descriptor(Path::new("/dev/null")));
}
