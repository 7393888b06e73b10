//! A task that wakes itself while it runs, and goes on at once.
//!
//! hyper wakes a connection when the handler takes a body that has been read already, and both are the same task: what is left to do
//! is a matter of a moment. To tokio a task that was woken while it ran gives way to others; it goes to the end of the queue, and
//! another thread is woken to help, which on an idle server costs about as much as the rest of a request.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// A future that is polled once more where it was woken while it was polled, before anybody else hears of it.
#[derive(Debug)]
pub(super) struct Inline<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    waker: Waker,
}

impl<F: Future> Inline<F> {
    /// Around a future.
    pub fn new(future: F) -> Self {
        let bell = Arc::new(Bell {
            state: AtomicU8::new(QUIET),
            task: AtomicWaker::new(),
        });
        Self {
            future: Box::pin(future),
            waker: Waker::from(Arc::clone(&bell)),
            bell,
        }
    }
}

impl<F: Future> Future for Inline<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self {
            future,
            bell,
            waker,
        } = &mut *self;
        bell.task.register(cx.waker());
        // Twice and no more: a future that always wakes itself wants to let others go first.
        for _ in 0..2 {
            bell.state.store(POLLED, Ordering::Release);
            let outcome = future.as_mut().poll(&mut Context::from_waker(waker));
            let rung = bell.state.swap(QUIET, Ordering::AcqRel) == RUNG;
            if outcome.is_ready() || !rung {
                return outcome;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Nobody polls it: its task is told.
const QUIET: u8 = 0;
/// It is polled, and not woken so far.
const POLLED: u8 = 1;
/// It was woken while it was polled.
const RUNG: u8 = 2;

#[derive(Debug)]
struct Bell {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let rung = self
            .state
            .compare_exchange(POLLED, RUNG, Ordering::AcqRel, Ordering::Acquire);
        if rung == Err(QUIET) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::sync::{Mutex, PoisonError};

    use super::*;

    #[derive(Default)]
    struct Told(AtomicUsize);

    impl Wake for Told {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often a future was polled, and its task told, where it wakes itself that often and stays pending.
    fn polled_and_told(wakes: usize) -> (usize, usize) {
        let told = Arc::new(Told::default());
        let waker = Waker::from(Arc::clone(&told));
        let mut polled = 0;
        let mut inline = pin!(Inline::new(poll_fn(|cx| {
            polled += 1;
            if polled <= wakes {
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        })));
        let outcome = inline.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(outcome.is_pending());
        (polled, told.0.load(Ordering::Relaxed))
    }

    #[test]
    fn who_wakes_itself_goes_on_at_once_and_who_does_so_for_ever_gives_way() {
        assert_eq!(polled_and_told(0), (1, 0));
        assert_eq!(polled_and_told(1), (2, 0));
        assert_eq!(polled_and_told(2), (2, 1));
        assert_eq!(polled_and_told(100), (2, 1));
    }

    #[test]
    fn who_is_woken_between_polls_is_told_each_time() {
        let told = Arc::new(Told::default());
        let waker = Waker::from(Arc::clone(&told));
        let kept = Mutex::new(None::<Waker>);
        let lock = || kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut inline = pin!(Inline::new(poll_fn(|cx| {
            *lock() = Some(cx.waker().clone());
            Poll::<()>::Pending
        })));
        for times in 1..4 {
            let outcome = inline.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(outcome.is_pending());
            lock().take().expect("it was polled").wake();
            assert_eq!(told.0.load(Ordering::Relaxed), times);
        }
    }

    #[test]
    fn what_another_thread_says_is_never_lost() {
        // One that is woken from elsewhere until it has seen as many wake-ups as were sent, polled only when told.
        const SENT: usize = 10_000;
        let sent = Arc::new(AtomicUsize::new(0));
        let (wakers, waits) = std::sync::mpsc::channel::<Waker>();
        let told = Arc::clone(&sent);
        let other = std::thread::spawn(move || {
            for waker in waits {
                told.fetch_add(1, Ordering::Release);
                waker.wake();
            }
        });
        let mut seen = 0;
        let waiting = Inline::new(poll_fn(move |cx| {
            let now = sent.load(Ordering::Acquire);
            if now >= SENT {
                return Poll::Ready(now);
            }
            if now >= seen {
                seen = now + 1;
                wakers.send(cx.waker().clone()).expect("the other is there");
            }
            Poll::Pending
        }));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        assert_eq!(runtime.block_on(waiting), SENT);
        other.join().expect("it ends");
    }
}
