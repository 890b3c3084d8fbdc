//! What works again without the network, and what several processes do at once.

use std::time::Duration;

use sigma_data::hub::{HubError, Wanted};

use crate::fake::{COMMIT, FakeHub, Response};
use crate::{User, read};

fn hub_with_model() -> FakeHub {
    let hub = FakeHub::with(&[("config.json", "{}")]);
    hub.put("model.safetensors", b"weights", true);
    hub
}

fn model() -> [Wanted; 3] {
    [Wanted::file("config.json"), Wanted::weights(), Wanted::optional("generation_config.json")]
}

#[test]
fn a_cached_commit_is_used_without_any_request() {
    let mut hub = hub_with_model();
    let user = User::of(&hub);
    let source = format!("org/tiny@{COMMIT}");
    let first = user.resolve(&source, &model()).expect("downloaded");
    let before = hub.requests().len();
    assert_eq!(user.resolve(&source, &model()).expect("cached"), first);
    assert_eq!(hub.requests().len(), before);
    hub.close();
    assert_eq!(user.resolve(&source, &model()).expect("cached"), first);
}

#[test]
fn a_cached_branch_is_used_when_the_hub_is_gone() {
    let mut hub = hub_with_model();
    let user = User::of(&hub);
    let first = user.resolve("org/tiny", &model()).expect("downloaded");
    hub.close();
    assert_eq!(user.resolve("org/tiny", &model()).expect("cached"), first);
    let error = user.resolve("org/tiny", &[Wanted::file("other.json")]).expect_err("not cached");
    assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
}

#[test]
fn a_branch_that_did_not_move_downloads_nothing() {
    let hub = hub_with_model();
    let user = User::of(&hub);
    user.resolve("org/tiny", &model()).expect("downloaded");
    let before = hub.requests().len();
    user.resolve("org/tiny", &model()).expect("cached");
    let after: Vec<_> = hub.requests().split_off(before);
    assert_eq!(after.len(), 1, "{after:?}");
    assert!(after[0].is("GET", "/revision/main"), "{after:?}");
}

#[test]
fn offline_asks_nothing_and_takes_what_is_cached() {
    let hub = hub_with_model();
    let user = User::of(&hub);
    let first = user.resolve("org/tiny", &model()).expect("downloaded");
    let before = hub.requests().len();
    assert_eq!(user.resolve_offline("org/tiny", &model()).expect("cached"), first);
    assert_eq!(user.resolve_offline(&format!("org/tiny@{COMMIT}"), &model()).expect("cached"), first);
    assert_eq!(hub.requests().len(), before);
}

#[test]
fn offline_says_what_the_cache_lacks() {
    let hub = hub_with_model();
    let user = User::of(&hub);
    let error = user.resolve_offline("org/tiny", &model()).expect_err("an empty cache");
    assert!(matches!(&error, HubError::NotCached { cache, .. } if cache == user.cache.path()), "{error}");
    user.resolve("org/tiny", &[Wanted::file("config.json")]).expect("a part");
    let error = user.resolve_offline("org/tiny", &model()).expect_err("no weights");
    assert!(matches!(&error, HubError::NotCached { missing, .. } if missing.contains("weights")), "{error}");
    assert!(hub.requests().iter().all(|request| !request.is("GET", "model.safetensors")));
}

#[test]
fn a_cache_filled_by_hand_serves_offline() {
    let hub = hub_with_model();
    let user = User::of(&hub);
    let snapshot = user.cache.path().join("models--org--tiny/snapshots").join(COMMIT);
    std::fs::create_dir_all(&snapshot).expect("a folder");
    std::fs::create_dir_all(user.cache.path().join("models--org--tiny/refs")).expect("a folder");
    std::fs::write(user.cache.path().join("models--org--tiny/refs/main"), COMMIT).expect("a file");
    std::fs::write(snapshot.join("config.json"), "{}").expect("a file");
    let resolved = user.resolve_offline("org/tiny", &[Wanted::file("config.json")]).expect("cached");
    assert_eq!(resolved.folder, snapshot);
}

#[test]
fn a_branch_that_moved_is_followed_and_a_failed_update_leaves_the_old_state() {
    let hub = hub_with_model();
    let user = User::of(&hub);
    let old = user.resolve("org/tiny", &model()).expect("downloaded");
    let moved = COMMIT.replace('0', "f");
    hub.move_main(&moved);
    hub.put("model.safetensors", b"newer weights", true);
    hub.intercept(|request| request.to_storage.then(|| Response::new(200, "garbage weigh")));
    user.resolve("org/tiny", &model()).expect_err("the new weights are spoilt");
    assert_eq!(user.resolve_offline("org/tiny", &model()).expect("the old state"), old);

    hub.behave();
    let new = user.resolve("org/tiny", &model()).expect("updated");
    assert_eq!(new.revision.as_deref(), Some(moved.as_str()));
    assert_eq!(read(&new, "model.safetensors"), b"newer weights");
    assert_eq!(user.resolve_offline("org/tiny", &model()).expect("the new state"), new);
}

#[test]
fn runs_that_start_together_download_once() {
    let hub = hub_with_model();
    let user = User::of(&hub);
    hub.intercept(|request| {
        if request.to_storage {
            // Long enough that all of them have asked for the commit.
            std::thread::sleep(Duration::from_millis(300));
        }
        None
    });
    let runs: Vec<_> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..4).map(|_| scope.spawn(|| user.resolve("org/tiny", &model()))).collect();
        started.into_iter().map(|run| run.join().expect("no panic").expect("resolved")).collect()
    });
    assert!(runs.iter().all(|run| *run == runs[0]));
    assert_eq!(hub.requests().iter().filter(|request| request.to_storage).count(), 1);
}
