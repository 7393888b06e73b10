//! The body of a request and a line of a stream: whatever comes is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let is_json = serde_json::from_slice::<serde_json::Value>(body).is_ok();
    // What is no JSON can be no request either.
    assert!(is_json || !sentiment::http::is_request(body));
    assert!(is_json || !sentiment::http::is_line(body));
});
