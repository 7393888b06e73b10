//! What happens on Ctrl-C and on SIGTERM, for commands that have something to put in order first.

use tokio::signal::unix::{SignalKind, signal};

/// Calls `action` on every Ctrl-C or SIGTERM from now on, on a thread of its own. Without a call of this either ends the
/// process at once, as everywhere.
///
/// # Errors
/// The system gives no thread or takes no signal handler.
pub fn on_interrupt(mut action: impl FnMut() + Send + 'static) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    std::thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    action();
                }
            });
        })?;
    Ok(())
}
