//! From hf-hub's errors to ours. hf-hub prints whole addresses and what servers wrote, where signed links and echoed
//! tokens can hide, so nothing of that passes: only statuses, error codes of the hub and causes without address.

use std::error::Error;
use std::io;
use std::path::Path;

use hf_hub::HFError;

use super::error::{Cause, HubError, is_full};

const NOT_JSON: &str = "not the JSON that is expected";

/// What was asked when it failed.
pub(super) struct Asked<'a> {
    pub(super) endpoint: &'a str,
    pub(super) repo: &'a str,
    pub(super) revision: &'a str,
    /// `its revision`, or a file.
    pub(super) what: &'a str,
    pub(super) cache: &'a Path,
}

/// A client that could not be built: an address that is none, or no TLS.
pub(super) fn of_client(error: HFError) -> HubError {
    match error {
        HFError::Url(source) => HubError::Endpoint { source: source.into() },
        HFError::Request { source, .. } => HubError::Client { source: source.without_url().into() },
        // What hf-hub says here is about its own settings, never about a server.
        other => HubError::Client { source: other.into() },
    }
}

impl Asked<'_> {
    pub(super) fn failed(&self, error: HFError) -> HubError {
        match error {
            HFError::Http { context } => match context.status.as_u16() {
                status @ (401 | 403) => self.refused(status, context.error_code.as_deref()),
                404 => self.answer("the address that lists files is not there"),
                status => self.status(status),
            },
            HFError::AuthRequired { context } => self.refused(401, context.error_code.as_deref()),
            HFError::Forbidden { context } => self.refused(403, context.error_code.as_deref()),
            HFError::RateLimited { retry_after, .. } => HubError::RateLimited {
                endpoint: public(self.endpoint),
                seconds: retry_after.map(|pause| pause.as_secs()),
            },
            HFError::RepoNotFound { .. } => self.no_such_repo(),
            HFError::RevisionNotFound { context, .. } => {
                // The hub says which of the two is missing; others do not, and then `main` is not the one to doubt.
                match context.and_then(|context| context.error_code).as_deref() {
                    Some("RevisionNotFound") => self.no_such_revision(),
                    Some("RepoNotFound") => self.no_such_repo(),
                    _ if self.revision == "main" => self.no_such_repo(),
                    _ => self.no_such_revision(),
                }
            }
            HFError::EntryNotFound { .. } | HFError::LocalEntryNotFound { .. } => {
                self.answer(&format!("it lists `{}` and does not have it", self.what))
            }
            HFError::CacheLockTimeout { path } => HubError::Locked { lock: path },
            HFError::Io(source) => HubError::io(self.cache, self.what, source),
            HFError::Request { source, .. } => {
                if find::<serde_json::Error>(&source).is_some() {
                    self.answer(NOT_JSON)
                } else if source.is_body() || source.is_decode() {
                    self.broken_off(source.without_url().into())
                } else {
                    HubError::Unreachable {
                        endpoint: public(self.endpoint),
                        repo: self.repo.to_owned(),
                        source: source.without_url().into(),
                    }
                }
            }
            HFError::Xet { source, .. } => match disk_full(&*source) {
                true => HubError::DiskFull { folder: self.cache.to_owned(), what: self.what.to_owned() },
                // The chain below can hold signed links of the storage.
                false => self.broken_off("the hub's chunked storage did not deliver".into()),
            },
            HFError::MalformedResponse { what, .. } => self.answer(&what),
            HFError::Json(_) => self.answer(NOT_JSON),
            other => {
                tracing::debug!(repo = self.repo, kind = ?std::mem::discriminant(&other), "unexpected failure of hf-hub");
                self.answer(&format!("asking for {} failed in a way that has no name", self.what))
            }
        }
    }

    /// An answer that breaks the protocol.
    pub(super) fn answer(&self, what: &str) -> HubError {
        HubError::Answer { endpoint: public(self.endpoint), repo: self.repo.to_owned(), what: what.to_owned() }
    }

    fn refused(&self, status: u16, code: Option<&str>) -> HubError {
        match code {
            // The hub answers 401 for what does not exist, so as not to tell what is private.
            Some("RepoNotFound") => self.no_such_repo(),
            _ => HubError::Refused { endpoint: public(self.endpoint), repo: self.repo.to_owned(), status },
        }
    }

    fn status(&self, status: u16) -> HubError {
        HubError::Status {
            endpoint: public(self.endpoint),
            repo: self.repo.to_owned(),
            what: self.what.to_owned(),
            status,
        }
    }

    fn no_such_repo(&self) -> HubError {
        HubError::NoSuchRepo { endpoint: public(self.endpoint), repo: self.repo.to_owned() }
    }

    fn no_such_revision(&self) -> HubError {
        HubError::NoSuchRevision { repo: self.repo.to_owned(), revision: self.revision.to_owned() }
    }

    fn broken_off(&self, source: Cause) -> HubError {
        HubError::BrokenOff { repo: self.repo.to_owned(), file: self.what.to_owned(), source }
    }
}

/// An address without the password some proxies and mirrors want in it.
fn public(endpoint: &str) -> String {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("https", endpoint));
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or(authority);
    format!("{scheme}://{host}{}", path.split(['?', '#']).next().unwrap_or_default())
}

fn disk_full(error: &(dyn Error + 'static)) -> bool {
    find::<io::Error>(error).is_some_and(is_full)
}

/// The first `E` down the chain of causes.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_shown_without_its_password() {
        assert_eq!(public("https://me:secret@mirror.example/hf?key=1"), "https://mirror.example/hf");
        assert_eq!(public("http://127.0.0.1:80"), "http://127.0.0.1:80");
    }

    #[test]
    fn a_full_disk_is_said_to_be_full_wherever_it_shows() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let asked =
            Asked { endpoint: "http://h", repo: "a/b", revision: "main", what: "x.bin", cache: Path::new("cache") };
        let deep = HubError::Io { path: "x".into(), source: full() };
        let xet = HFError::Xet { operation: hf_hub::XetOperation::Download, source: deep.into() };
        for error in [HFError::Io(full()), xet] {
            let error = asked.failed(error);
            assert!(matches!(&error, HubError::DiskFull { what, .. } if what == "x.bin"), "{error}");
        }
        let other = asked.failed(HFError::Io(io::ErrorKind::PermissionDenied.into()));
        assert!(matches!(other, HubError::Io { .. }), "{other}");
    }
}
