//! Nothing that is not what the hub promised stays in the cache.

use sigma_data::hub::{HubError, Wanted};

use crate::fake::{FakeHub, Response, sha256};
use crate::{User, in_full, read};

const WEIGHTS: &str = "model.safetensors";

fn hub_with_weights() -> FakeHub {
    let hub = FakeHub::with(&[("config.json", "{\"size\":1}")]);
    hub.put(WEIGHTS, b"the right weights", true);
    hub
}

/// One answer is spoilt, `expected` is reported, nothing of it is kept, and the next run is whole.
fn is_caught(spoilt: &'static str, answer: Response, expected: fn(&HubError) -> bool) {
    let hub = hub_with_weights();
    let user = User::of(&hub);
    let wanted = [Wanted::file(spoilt)];
    hub.intercept(move |request| {
        let at_the_source = request.to_storage || spoilt != WEIGHTS;
        (request.is("GET", spoilt) && at_the_source).then(|| answer.clone())
    });
    let error = user.resolve("org/tiny", &wanted).expect_err("it must be noticed");
    assert!(expected(&error), "{error}");
    assert!(error.to_string().contains("run again"), "{error}");
    assert!(!in_full(&error).contains("signed-link"), "{}", in_full(&error));
    assert_eq!(user.blobs(), [""; 0], "after: {error}");
    user.resolve_offline("org/tiny", &wanted).expect_err("nothing is in the cache");

    hub.behave();
    user.resolve("org/tiny", &wanted).expect("the second run");
}

#[test]
fn a_body_shorter_than_its_length_breaks_off() {
    let short = |body: &str| Response { length: Some(100), ..Response::new(200, body) };
    is_caught(WEIGHTS, short("the right"), |error| matches!(error, HubError::BrokenOff { .. }));
    is_caught("config.json", short("{"), |error| matches!(error, HubError::BrokenOff { .. }));
}

#[test]
fn a_body_cut_without_notice_has_the_wrong_size() {
    let cut = |body: &str| Response { length: None, ..Response::new(200, body) };
    is_caught(WEIGHTS, cut("the right"), |error| matches!(error, HubError::WrongSize { expected: 17, got: 9, .. }));
    is_caught("config.json", cut("{"), |error| matches!(error, HubError::WrongSize { expected: 10, got: 1, .. }));
}

#[test]
fn an_error_page_is_not_taken_for_the_file() {
    let page = Response::new(403, "<html>this link has expired</html>");
    is_caught(WEIGHTS, page.clone(), |error| matches!(error, HubError::WrongSize { .. }));
    is_caught("config.json", page, |error| matches!(error, HubError::WrongSize { .. }));
}

#[test]
fn other_content_of_the_same_size_has_the_wrong_hash() {
    is_caught(WEIGHTS, Response::new(200, "the wrong weights"), |error| match error {
        HubError::WrongHash { expected, got, .. } => {
            *expected == sha256(b"the right weights") && *got == sha256(b"the wrong weights")
        }
        _ => false,
    });
}

#[test]
fn a_cached_file_that_was_never_checked_is_checked_at_the_next_start() {
    let hub = hub_with_weights();
    let user = User::of(&hub);
    let wanted = [Wanted::weights()];
    let resolved = user.resolve("org/tiny", &wanted).expect("resolved");
    // As if the first program had been stopped between download and check.
    std::fs::write(resolved.folder.join(WEIGHTS), "the other weights").expect("spoilt");
    let error = user.resolve_offline("org/tiny", &wanted).expect_err("spoilt");
    assert!(matches!(error, HubError::WrongHash { .. }), "{error}");
    let resolved = user.resolve("org/tiny", &wanted).expect("fetched again");
    assert_eq!(read(&resolved, WEIGHTS), b"the right weights");
}
