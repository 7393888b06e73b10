//! Texts that wait for a batch: bounded, oldest first, taken with others that go well with them.
//!
//! A place is held from the moment a request is let in until a batch thread takes the text, so the bound is never passed.
//! Age decides who goes first, so that nobody starves; the texts of a bulk request count as younger than they are, the more of them
//! there are, so that single ones overtake them, but not for ever. Who goes along is [`Reach`]'s business.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntGauge;
use tokio::sync::oneshot;

use super::ItemError;
use super::places::{Bound, Places};
use super::reach::{Candidate, Reach};

/// What a batch thread says of one text.
pub(super) type Answer = Result<Ran, ItemError>;

/// A text that has been through the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ran {
    pub logit: f32,
    /// From its place in the queue to the start of its run.
    pub queue: Duration,
    /// The run of its batch.
    pub run: Duration,
}

/// How much younger than it is a text of a bulk request counts.
const BULK_YIELDS: Duration = Duration::from_millis(200);

/// And for each text of that request: more than one takes to run, so that most of them have run before their time comes.
const EACH_YIELDS: Duration = Duration::from_micros(500);

/// One text that waits.
#[derive(Debug)]
pub(super) struct Job {
    /// Cut and not padded.
    pub ids: Box<[i64]>,
    /// When it began to wait.
    pub since: Instant,
    /// When nobody wants the answer any more.
    pub deadline: Option<Instant>,
    /// Part of a bulk request.
    pub bulk: bool,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Answer>,
    /// Given back when the job leaves the queue.
    pub place: Option<Places>,
}

impl Job {
    /// When it would have come as one of its own, where so many came with it; of its time it yields half at most.
    fn rank(&self, together: usize) -> Instant {
        if !self.bulk {
            return self.since;
        }
        let together = u32::try_from(together).unwrap_or(u32::MAX);
        let yields = BULK_YIELDS + EACH_YIELDS.saturating_mul(together);
        let time = self
            .deadline
            .map(|deadline| deadline.saturating_duration_since(self.since) / 2);
        self.since + time.map_or(yields, |time| yields.min(time))
    }
}

/// A job and when it counts as having come.
#[derive(Debug)]
struct Ranked {
    rank: Instant,
    job: Job,
}

/// The queue of one model, and the seats that its texts are run on.
#[derive(Debug)]
pub(super) struct Queue<S> {
    state: Mutex<State<S>>,
    seats: usize,
    ready: Condvar,
    pub bound: Bound,
    depth: IntGauge,
}

#[derive(Debug)]
struct State<S> {
    waiting: VecDeque<Ranked>,
    /// On which nothing runs.
    free: Vec<S>,
    closed: bool,
    /// Texts in a row that found nobody else.
    quiet: u32,
    /// What the gauge was told of `waiting`.
    told: i64,
    /// Threads that wait for a text: telling nobody costs a system call too.
    idle: usize,
    scratch: Scratch,
}

/// Buffers that are used again.
#[derive(Debug, Default)]
struct Scratch {
    candidates: Vec<Candidate>,
    left: Vec<Ranked>,
}

/// The oldest that are looked at for one batch: enough to find some of like length, few enough for a look to cost nothing
/// beside a run.
const LOOK: usize = 512;

/// Texts that are hardly dearer together than one: fewer are not shared among seats.
const FEW: usize = 4;

/// Texts in a row that find nobody else before one is run by its caller: at half load that never happens.
const QUIET: u32 = 8;

impl<S> Queue<S> {
    /// An empty queue with so many places.
    pub fn new(places: usize, seats: Vec<S>, depth: IntGauge) -> Self {
        Self {
            seats: seats.len(),
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                free: seats,
                closed: false,
                quiet: 0,
                told: 0,
                idle: 0,
                scratch: Scratch::default(),
            }),
            ready: Condvar::new(),
            bound: Bound::new(places),
            depth,
        }
    }

    /// Lets the jobs of a request in; a closed queue drops them, which their callers see.
    pub fn push(&self, jobs: Vec<Job>) {
        let many = jobs.len() > 1;
        let Some(rank) = jobs.first().map(|job| job.rank(jobs.len())) else {
            return;
        };
        let jobs = jobs.into_iter().map(|job| Ranked { rank, job });
        let mut state = self.lock();
        if state.closed {
            return;
        }
        // Nearly always the end: ranks come in order but for singles among bulk.
        match state.waiting.back() {
            Some(last) if last.rank > rank => {
                let at = state.waiting.partition_point(|other| other.rank <= rank);
                let mut later = state.waiting.split_off(at);
                state.waiting.extend(jobs);
                state.waiting.append(&mut later);
            }
            _ => state.waiting.extend(jobs),
        }
        self.tell(&mut state);
        let idle = state.idle;
        drop(state);
        match idle {
            0 => {}
            _ if many => self.ready.notify_all(),
            _ => self.ready.notify_one(),
        }
    }

    /// Waits for texts and a seat and fills `batch` with the oldest and others that go well with it; none once closed and empty.
    /// The seat of the run before comes back with it. `steps` says how many steps a text of so many ids takes.
    pub fn take(
        &self,
        last: Option<S>,
        reach: Reach,
        steps: impl Fn(usize) -> usize,
        batch: &mut Vec<Job>,
    ) -> Option<S> {
        batch.clear();
        let mut state = self.lock();
        state.free.extend(last);
        loop {
            if let Some(seat) = state.free.pop() {
                state.forget_unwanted();
                state.gather(self.seats, reach, &steps, batch);
                self.tell(&mut state);
                if !batch.is_empty() {
                    return Some(seat);
                }
                state.free.push(seat);
            }
            if state.closed && state.waiting.is_empty() {
                return None;
            }
            state.idle += 1;
            state = self
                .ready
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// A seat for a caller that runs its text itself: where the last texts, this one among them, found nobody who waits and all
    /// seats free. Under any real load a caller's thread has sockets to read, and others wait when it runs something.
    pub fn idle_seat(&self) -> Option<S> {
        let mut state = self.lock();
        let alone = !state.closed && state.waiting.is_empty() && state.free.len() == self.seats;
        state.quiet = if alone {
            state.quiet.saturating_add(1)
        } else {
            0
        };
        if state.quiet < QUIET {
            return None;
        }
        state.free.pop()
    }

    /// Gives it back to those who have found none free.
    pub fn give_back(&self, seat: S) {
        let mut state = self.lock();
        state.free.push(seat);
        let wanted = state.idle > 0 && !state.waiting.is_empty();
        drop(state);
        if wanted {
            self.ready.notify_one();
        }
    }

    /// Lets nobody in any more; what waits is still taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
    }

    /// Closes and drops what waits, and the seats: nobody is left to take it.
    pub fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        state.free.clear();
        self.tell(&mut state);
    }

    /// While versions change, two queues of a model are told of in one gauge.
    fn tell(&self, state: &mut State<S>) {
        let waiting = i64::try_from(state.waiting.len()).unwrap_or(i64::MAX);
        self.depth.add(waiting - state.told);
        state.told = waiting;
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> State<S> {
    /// Nothing is run for callers that have gone, or whose time is over.
    fn forget_unwanted(&mut self) {
        let now = Instant::now();
        let mut at = 0;
        while at < LOOK
            && let Some(Ranked { job, .. }) = self.waiting.get(at)
        {
            let late = job.deadline.is_some_and(|deadline| deadline <= now);
            if !late && !job.reply.is_closed() {
                at += 1;
            } else if let Some(Ranked { job, .. }) = self.waiting.remove(at) {
                // A caller that has gone hears nothing.
                let _ = job.reply.send(Err(ItemError::DeadlineExceeded));
            }
        }
    }

    /// Takes no more than one seat's share of what waits: others are free sooner than this one.
    fn gather(
        &mut self,
        seats: usize,
        mut reach: Reach,
        steps: impl Fn(usize) -> usize,
        batch: &mut Vec<Job>,
    ) {
        let Scratch { candidates, left } = &mut self.scratch;
        candidates.clear();
        let looked_at = self.waiting.iter().take(LOOK).enumerate();
        candidates.extend(looked_at.map(|(at, Ranked { job, .. })| Candidate {
            at,
            steps: steps(job.ids.len()),
            bulk: job.bulk,
        }));
        let share = candidates.len().div_ceil(seats);
        reach.rows = reach.rows.min(share.max(FEW));
        reach.choose(candidates);
        let Some(last) = candidates.last().map(|chosen| chosen.at) else {
            return;
        };
        let mut chosen = candidates.iter().map(|chosen| chosen.at).peekable();
        for (at, mut ranked) in self.waiting.drain(..=last).enumerate() {
            if chosen.next_if_eq(&at).is_some() {
                ranked.job.place = None;
                batch.push(ranked.job);
            } else {
                left.push(ranked);
            }
        }
        for job in left.drain(..).rev() {
            self.waiting.push_front(job);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const REACH: Reach = Reach {
        rows: 4,
        steps: 1_000,
        ragged: false,
    };

    fn queue(places: usize) -> Queue<()> {
        Queue::new(places, vec![()], IntGauge::new("depth", "depth").unwrap())
    }

    fn job(length: usize, bulk: bool, since: Instant) -> (Job, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            ids: vec![1; length].into(),
            since,
            deadline: None,
            bulk,
            reply,
            place: None,
        };
        (job, answer)
    }

    fn taken(queue: &Queue<()>, reach: Reach) -> Vec<usize> {
        let mut batch = Vec::new();
        queue.take(None, reach, |n| n, &mut batch).unwrap();
        queue.give_back(());
        batch.iter().map(|job| job.ids.len()).collect()
    }

    #[test]
    fn the_oldest_goes_first_with_others_of_its_length() {
        let (queue, now) = (queue(64), Instant::now());
        let (jobs, _answers): (Vec<_>, Vec<_>) = [100, 20, 90, 30, 110, 120, 95]
            .map(|length| job(length, false, now))
            .into_iter()
            .unzip();
        queue.push(jobs);
        assert_eq!(taken(&queue, REACH), [100, 90, 110, 95]);
        assert_eq!(taken(&queue, REACH), [20, 30]);
        assert_eq!(taken(&queue, REACH), [120]);
        assert_eq!(queue.depth.get(), 0);
    }

    #[test]
    fn a_batch_is_one_seats_share_of_what_waits_unless_that_is_small() {
        let (now, wide) = (Instant::now(), Reach { rows: 64, ..REACH });
        for (texts, seats, due) in [(9, 1, 9), (9, 2, 5), (9, 3, FEW), (3, 2, 3), (90, 1, 64)] {
            let depth = IntGauge::new("depth", "depth").unwrap();
            let queue = Queue::new(64, vec![(); seats], depth);
            let (jobs, _answers): (Vec<_>, Vec<_>) = (0..texts).map(|_| job(5, false, now)).unzip();
            queue.push(jobs);
            assert_eq!(taken(&queue, wide).len(), due, "{texts} for {seats}");
        }
    }

    #[test]
    fn a_batch_is_bounded_in_rows_times_steps_but_never_empty() {
        let (queue, now) = (queue(64), Instant::now());
        let (jobs, _answers): (Vec<_>, Vec<_>) = [300, 301, 310, 320]
            .map(|length| job(length, false, now))
            .into_iter()
            .unzip();
        queue.push(jobs);
        assert_eq!(taken(&queue, REACH), [300, 301, 310]);
        let narrow = Reach { steps: 10, ..REACH };
        assert_eq!(taken(&queue, narrow), [320]);
    }

    #[test]
    fn two_queues_of_a_model_are_told_of_together() {
        let depth = IntGauge::new("depth", "depth").unwrap();
        let queues = [(); 2].map(|()| Queue::new(4, vec![()], depth.clone()));
        let mut answers = Vec::new();
        for queue in &queues {
            let (jobs, waits): (Vec<_>, Vec<_>) = [1, 2]
                .map(|length| job(length, false, Instant::now()))
                .into_iter()
                .unzip();
            queue.push(jobs);
            answers.extend(waits);
        }
        assert_eq!(depth.get(), 4);
        queues[0].abandon();
        assert_eq!(depth.get(), 2);
        assert_eq!(taken(&queues[1], REACH), [1, 2]);
        assert_eq!(depth.get(), 0);
    }

    #[test]
    fn singles_overtake_bulk_until_bulk_has_waited_long_enough() {
        let (queue, now) = (queue(64), Instant::now());
        let old = now.checked_sub(BULK_YIELDS * 2).unwrap();
        let alone = Reach { rows: 1, ..REACH };
        let (jobs, _answers): (Vec<_>, Vec<_>) =
            [job(1, true, now), job(2, true, old), job(3, false, now)]
                .into_iter()
                .unzip();
        for job in jobs {
            queue.push(vec![job]);
        }
        let order: Vec<_> = (0..3).flat_map(|_| taken(&queue, alone)).collect();
        assert_eq!(order, [2, 3, 1]);
    }

    #[test]
    fn the_more_texts_a_request_has_the_longer_it_lets_singles_go_first_within_half_its_time() {
        let now = Instant::now();
        let begin = now.checked_sub(Duration::from_secs(10)).unwrap();
        let after = |wait| begin + Duration::from_millis(wait);
        // Texts, the deadline of them, and when a single comes that goes first or does not, in milliseconds.
        for (texts, deadline, comes, first) in [
            (1, None, 190, true),
            (1, None, 210, false),
            (2_000, None, 1_190, true),
            (2_000, None, 1_210, false),
            (2_000, Some(60_000), 1_190, true),
            (2_000, Some(1_000), 490, true),
            (2_000, Some(1_000), 510, false),
        ] {
            let queue = queue(4_096);
            let (mut jobs, mut answers): (Vec<_>, Vec<_>) =
                (0..texts).map(|_| job(7, true, begin)).unzip();
            for job in &mut jobs {
                job.deadline = deadline.map(after);
            }
            queue.push(jobs);
            let (single, answer) = job(3, false, after(comes));
            answers.push(answer);
            queue.push(vec![single]);
            let mut state = queue.lock();
            let front = state.waiting.pop_front().unwrap().job;
            let case = (texts, deadline, comes);
            assert_eq!(front.ids.len() == 3, first, "{case:?}");
        }
    }

    #[test]
    fn a_seat_is_lent_to_a_caller_only_where_for_a_while_nobody_waited_or_ran() {
        let (queue, now) = (queue(3), Instant::now());
        let quiet = || (1..QUIET).for_each(|_| assert_eq!(queue.idle_seat(), None));
        quiet();
        assert_eq!(queue.idle_seat(), Some(()));
        assert_eq!(queue.idle_seat(), None);
        let (first, _answer) = job(1, false, now);
        queue.push(vec![first]);
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| queue.take(None, REACH, |n| n, &mut Vec::new()));
            // Whether it waits yet or not, it gets the seat and the text only now.
            queue.give_back(());
            assert_eq!(thread.join().unwrap(), Some(()));
        });
        queue.give_back(());
        quiet();
        let (second, _answer) = job(1, false, now);
        queue.push(vec![second]);
        assert_eq!(queue.idle_seat(), None);
        assert_eq!(taken(&queue, REACH), [1]);
        quiet();
        assert_eq!(queue.idle_seat(), Some(()));
        queue.give_back(());
        queue.close();
        assert_eq!(queue.idle_seat(), None);
    }

    #[test]
    fn callers_that_have_gone_and_texts_too_late_are_not_run() {
        let (queue, now) = (queue(64), Instant::now());
        let (gone, answer) = job(1, false, now);
        drop(answer);
        let (mut late, mut late_answer) = job(2, false, now);
        late.deadline = Some(now);
        let (wanted, _answer) = job(3, false, now);
        queue.push(vec![gone, late, wanted]);
        assert_eq!(taken(&queue, REACH), [3]);
        assert_eq!(
            late_answer.try_recv().unwrap(),
            Err(ItemError::DeadlineExceeded)
        );
    }

    #[test]
    fn places_are_given_all_at_once_or_not_and_come_back_when_a_text_is_taken() {
        let (queue, now) = (queue(3), Instant::now());
        let place = queue.bound.reserve(2).unwrap();
        assert!(queue.bound.reserve(2).is_none());
        let (mut waiting, _answer) = job(1, false, now);
        waiting.place = Some(place);
        queue.push(vec![waiting]);
        assert!(queue.bound.reserve(2).is_none());
        assert_eq!(taken(&queue, REACH), [1]);
        assert!(queue.bound.reserve(3).is_some());
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_takes_no_more() {
        let (queue, now) = (queue(3), Instant::now());
        let (waiting, _answer) = job(1, false, now);
        queue.push(vec![waiting]);
        queue.close();
        let (refused, mut answer) = job(2, false, now);
        queue.push(vec![refused]);
        assert!(answer.try_recv().is_err());
        assert_eq!(taken(&queue, REACH), [1]);
        assert!(queue.take(None, REACH, |n| n, &mut Vec::new()).is_none());
    }
}
