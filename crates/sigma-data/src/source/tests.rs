//! What each spelling of a source means.

use super::*;

fn parse(text: &str) -> Result<Source, SourceError> {
    text.parse()
}

fn hub(repo: &str, revision: Option<&str>) -> Source {
    Source::Hub { repo: repo.to_owned(), revision: revision.map(str::to_owned) }
}

#[test]
fn one_slash_is_a_hub_id_unless_such_a_folder_exists() {
    assert_eq!(parse("facebook/opt-125m"), Ok(hub("facebook/opt-125m", None)));
    assert_eq!(parse("facebook/opt-125m@main"), Ok(hub("facebook/opt-125m", Some("main"))));
    // Tests run in the crate's folder.
    assert_eq!(parse("src/source"), Ok(Source::Folder(PathBuf::from("src/source"))));
}

#[test]
fn a_revision_may_contain_slashes() {
    assert_eq!(parse("facebook/opt-125m@refs/pr/19"), Ok(hub("facebook/opt-125m", Some("refs/pr/19"))));
}

#[test]
fn spellings_that_can_only_be_paths_are_folders_even_if_missing() {
    for text in ["./none", "../none", "/none", "a/b/none", "./a/b@c", ".", ".."] {
        assert_eq!(parse(text), Ok(Source::Folder(PathBuf::from(text))), "{text}");
    }
}

#[test]
fn what_is_neither_says_how_to_write_both() {
    for text in ["opt-125m", "~/opt", "a/", "a--b/c", "a/..", "a b/c"] {
        let error = parse(text).expect_err(text);
        assert_eq!(error, SourceError::NeitherFolderNorHub { text: text.to_owned() });
        let message = error.to_string();
        assert!(message.contains(&format!("./{text}")) && message.contains("org/name@revision"), "{message}");
    }
    assert_eq!(parse("  "), Err(SourceError::Empty));
}

#[test]
fn a_revision_cannot_climb_out_of_the_cache() {
    for revision in ["", "..", "../../x", "a//b", "/a", "a/", ".x", "a\\b"] {
        let text = format!("org/name@{revision}");
        assert_eq!(parse(&text), Err(SourceError::Revision { text: text.clone(), revision: revision.to_owned() }));
    }
}

#[test]
fn display_and_serde_give_back_the_text() {
    for text in ["facebook/opt-125m", "facebook/opt-125m@27dcfa7", "./models/tiny", "a/b/c", "/srv/models/opt"] {
        let source = parse(text).expect(text);
        assert_eq!(source.to_string(), text);
        let json = serde_json::to_string(&source).expect("a string");
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Source>(&json).expect("the same string"), source);
    }
}

#[test]
fn serde_errors_carry_the_explanation() {
    let error = serde_json::from_str::<Source>("\"opt-125m\"").expect_err("no slash");
    assert!(error.to_string().contains("neither an existing folder nor a hub id"), "{error}");
}
