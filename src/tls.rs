//! The cryptography of every connection that this program opens: one library for the database, model storage, data by URL
//! and the collector of spans.

/// Makes it the process's own; the first call counts. Clients that are built before it would panic, so that everything
/// that builds one calls it.
pub fn set_up() {
    // An error says that it is set up already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
