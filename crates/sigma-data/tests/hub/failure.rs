//! What the user is told when the hub says no, and that no secret is told with it.

use sigma_data::hub::{HubError, Wanted};

use crate::fake::{COMMIT, FakeHub, Response};
use crate::{TOKEN, User, in_full};

const CONFIG: &str = "config.json";

fn hub() -> FakeHub {
    FakeHub::with(&[(CONFIG, "{}")])
}

fn fails(user: &User, source: &str) -> HubError {
    user.resolve(source, &[Wanted::file(CONFIG)]).expect_err("it must fail")
}

#[test]
fn a_file_the_repository_lacks_is_named() {
    let error = User::of(&hub()).resolve("org/tiny", &[Wanted::tokenizer()]).expect_err("no tokenizer");
    assert!(matches!(&error, HubError::MissingOnHub { what, .. } if what == "tokenizer"), "{error}");
    assert!(error.to_string().contains("`tokenizer.json`, or `vocab.json` + `merges.txt`"), "{error}");
}

#[test]
fn an_unknown_repository_is_also_explained_as_a_folder() {
    let hub = hub();
    hub.intercept(|_| Some(Response::new(404, "{}").header("X-Error-Code", "RepoNotFound")));
    let error = fails(&User::of(&hub), "data/tiny");
    assert!(matches!(&error, HubError::NoSuchRepo { repo, .. } if repo == "data/tiny"), "{error}");
    assert!(error.to_string().contains("no `data/tiny` here either"), "{error}");
}

#[test]
fn an_unknown_revision_is_told_from_an_unknown_repository() {
    let error = fails(&User::of(&hub()), "org/tiny@v9");
    assert!(matches!(&error, HubError::NoSuchRevision { revision, .. } if revision == "v9"), "{error}");
}

#[test]
fn a_refused_token_is_not_printed_even_if_the_server_repeats_it() {
    for status in [401, 403] {
        // On the lookup of the branch, on the list of files, and on the file itself.
        for end in ["/revision/main", "/paths-info/0123456789abcdef0123456789abcdef01234567", "/config.json"] {
            let hub = hub();
            hub.intercept(move |request| {
                let echo = format!("Invalid credentials: {}", request.authorization.as_deref().unwrap_or("none"));
                let body = serde_json::json!({ "error": echo }).to_string();
                let told = request.target.ends_with(end) || request.target.contains(&format!("{end}?"));
                told.then(|| {
                    Response::new(status, body).header("X-Error-Message", echo).header("X-Error-Code", "Gated")
                })
            });
            let error = fails(&User::of(&hub), "org/tiny");
            assert!(matches!(error, HubError::Refused { status: said, .. } if said == status), "{end}: {error}");
            assert!(error.to_string().contains("HF_TOKEN"), "{error}");
            assert!(!in_full(&error).contains(TOKEN), "{}", in_full(&error));
        }
    }
}

#[test]
fn a_hub_that_stumbles_is_asked_again() {
    let hub = hub();
    let mut stumbles = 3;
    hub.intercept(move |_| {
        stumbles -= 1;
        (stumbles >= 0).then(|| Response::new(503, "busy"))
    });
    User::of(&hub).resolve("org/tiny", &[Wanted::file(CONFIG)]).expect("the fourth answer is good");
    assert_eq!(hub.count("GET", "/revision/main"), 4);
}

#[test]
fn a_hub_that_stays_down_is_named_with_its_status() {
    let hub = hub();
    hub.intercept(|_| Some(Response::new(503, TOKEN)));
    let error = fails(&User::of(&hub), "org/tiny");
    assert!(matches!(error, HubError::Status { status: 503, .. }), "{error}");
    assert!(!in_full(&error).contains(TOKEN), "{}", in_full(&error));
}

#[test]
fn a_rate_limit_says_for_how_long() {
    let hub = hub();
    hub.intercept(|_| Some(Response::new(429, "").header("Retry-After", "17")));
    let error = fails(&User::of(&hub), "org/tiny");
    assert!(matches!(error, HubError::RateLimited { seconds: Some(17), .. }), "{error}");
}

#[test]
fn a_hub_that_cannot_be_reached_is_named_without_the_password_in_its_address() {
    let mut hub = hub();
    let mut user = User::of(&hub);
    user.options.endpoint = Some(hub.url().replace("http://", "http://me:open-sesame@"));
    hub.close();
    let error = fails(&user, "org/tiny");
    assert!(matches!(&error, HubError::Unreachable { endpoint, .. } if *endpoint == hub.url()), "{error}");
    let text = in_full(&error);
    assert!(text.contains("HF_ENDPOINT") && text.contains("onnection refused"), "{text}");
    assert!(!text.contains("open-sesame") && !text.contains(TOKEN), "{text}");
}

#[test]
fn an_endpoint_that_is_no_address_is_said_to_be_none() {
    let mut user = User::of(&hub());
    user.options.endpoint = Some("not an address".to_owned());
    let error = fails(&user, "org/tiny");
    assert!(matches!(error, HubError::Endpoint { .. }), "{error}");
}

#[test]
fn a_server_that_is_no_hub_is_suspected() {
    for body in ["<html>hello</html>", r#"{"id":"org/tiny"}"#, r#"{"id":"org/tiny","sha":"../../../etc"}"#] {
        let hub = hub();
        hub.intercept(move |request| request.is("GET", "/revision/main").then(|| Response::new(200, body)));
        let error = fails(&User::of(&hub), "org/tiny");
        assert!(matches!(error, HubError::Answer { .. }), "{body}: {error}");
        assert!(error.to_string().contains("HF_ENDPOINT"), "{error}");
    }
}

#[test]
fn a_file_of_another_commit_is_not_taken() {
    let hub = hub();
    hub.intercept(|request| {
        let other = COMMIT.replace('0', "f");
        let answer = Response::new(200, "{}").header("X-Repo-Commit", other).header("ETag", "\"1\"");
        request.is("HEAD", CONFIG).then_some(answer)
    });
    let error = fails(&User::of(&hub), "org/tiny");
    assert!(matches!(&error, HubError::Answer { what, .. } if what.contains("another commit")), "{error}");
}
