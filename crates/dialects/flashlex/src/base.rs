//! The base paths: an optional stage (any segment, `prd` and `dev` as a rule), an optional `/v1`, and slashes as many as the client wrote.
//!
//! The device SDK builds `{endpoint}/{env}/v1/things/{id}/collect` by plain formatting, so an empty `env` or a slash at the end of
//! `endpoint` shows up here as an empty segment.

/// The first segments of the API's resources; everything before them is base path.
pub(crate) const RESOURCES: [&str; 5] = ["token", "subscriptions", "things", "users", "register"];

/// The path as the inner router knows it, `/things/{id}/publish`, whatever base it came in under; `None` when it leads nowhere.
pub(crate) fn canonical(path: &str) -> Option<String> {
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let known = |at: usize| segments.get(at).is_some_and(|s| RESOURCES.contains(s));
    let version = |at: usize| segments.get(at).is_some_and(|s| *s == "v1");
    let skip = if known(0) {
        0
    } else if known(1) {
        1
    } else if version(1) && known(2) {
        2
    } else {
        return None;
    };
    let mut out = String::with_capacity(path.len());
    for segment in segments.iter().skip(skip) {
        out.push('/');
        out.push_str(segment);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn every_documented_base_leads_to_the_same_place() {
        for base in ["/prd/v1", "/dev/v1", "/dev", "/v1", "", "/staging/v1", "/staging", "//v1", "//prd/v1", "/prd//v1", "//prd//v1//"] {
            assert_eq!(canonical(&format!("{base}/things/a-1/publish")).as_deref(), Some("/things/a-1/publish"), "{base}");
            assert_eq!(canonical(&format!("{base}/token")).as_deref(), Some("/token"), "{base}");
        }
    }

    #[test]
    fn slashes_inside_and_at_the_end_collapse() {
        assert_eq!(canonical("/prd/v1/things//x//messages/").as_deref(), Some("/things/x/messages"));
        assert_eq!(canonical("/prd/v1/things/").as_deref(), Some("/things"));
    }

    #[test]
    fn a_resource_name_as_an_id_is_an_id() {
        assert_eq!(canonical("/things/things").as_deref(), Some("/things/things"));
        assert_eq!(canonical("/users/token").as_deref(), Some("/users/token"));
    }

    #[test]
    fn anything_else_leads_nowhere() {
        for path in ["", "/", "/prd", "/prd/v1", "/prd/v2/things", "/a/b/c/things", "/prd/v1/thing", "/v1/v1/v1/things"] {
            assert_eq!(canonical(path), None, "{path}");
        }
    }
}
