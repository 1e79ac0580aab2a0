// SPDX-License-Identifier: MPL-2.0
//! Waiting by name: a gate has a deadline, remembers the last state that was seen, and knows a remedy.
//!
//! The SDK's own waiters look every 15 to 120 seconds and forget why they waited.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// First pause between two looks.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Something that has to become true.
#[derive(Clone, Debug)]
pub struct Gate {
    /// What has to become true, for example `instance running`.
    pub name: &'static str,
    /// Of what: an id, a host.
    pub subject: String,
    /// How long it may take.
    pub within: Duration,
    /// What to do when it does not.
    pub remedy: String,
    first_pause: Duration,
}

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look<T> {
    /// It is true.
    Passed(T),
    /// It is not true yet; the state that was seen.
    NotYet(String),
}

/// A gate that did not open in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// What was waited for.
    pub name: &'static str,
    /// Of what.
    pub subject: String,
    /// How long was waited.
    pub waited: Duration,
    /// The last state that was seen.
    pub last: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, subject, waited, last, remedy } = self;
        write!(f, "waited {} s for {subject}: {name}; last seen: {last}. {remedy}", waited.as_secs())
    }
}

/// Why a gate was not passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stuck<E> {
    /// Its deadline came.
    Overdue(Overdue),
    /// It can never open.
    Failed(E),
}

impl Gate {
    /// A gate.
    pub fn new(
        name: &'static str,
        subject: impl Into<String>,
        within: Duration,
        remedy: impl Into<String>,
    ) -> Self {
        Self { name, subject: subject.into(), within, remedy: remedy.into(), first_pause: FIRST_PAUSE }
    }

    /// Looks again and again, with growing pauses, until it is true.
    ///
    /// # Errors
    /// [`Stuck::Overdue`] when the deadline comes, [`Stuck::Failed`] with the first error of a look.
    pub async fn pass<T, E, F>(&self, mut look: impl FnMut() -> F) -> Result<T, Stuck<E>>
    where
        F: Future<Output = Result<Look<T>, E>>,
    {
        let started = Instant::now();
        let mut pause = self.first_pause;
        loop {
            let last = match look().await.map_err(Stuck::Failed)? {
                Look::Passed(value) => return Ok(value),
                Look::NotYet(last) => last,
            };
            tracing::debug!(gate = self.name, subject = self.subject, last, "not yet");
            let waited = started.elapsed();
            if waited >= self.within {
                let Self { name, subject, remedy, .. } = self.clone();
                return Err(Stuck::Overdue(Overdue { name, subject, waited, last, remedy }));
            }
            tokio::time::sleep(pause.min(self.within.saturating_sub(waited))).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A gate that looks again at once.
    fn gate(within: Duration) -> Gate {
        let gate = Gate::new("instance running", "i-1", within, "Look at its console.");
        Gate { first_pause: Duration::ZERO, ..gate }
    }

    #[tokio::test]
    async fn it_opens_when_it_is_true() {
        let looks = Cell::new(0);
        let passed = gate(Duration::MAX)
            .pass(|| async {
                looks.set(looks.get() + 1);
                Ok::<_, ()>(if looks.get() < 5 {
                    Look::NotYet("pending".into())
                } else {
                    Look::Passed(looks.get())
                })
            })
            .await;
        assert_eq!(passed, Ok(5));
    }

    #[tokio::test]
    async fn it_says_what_it_saw_last_and_what_to_do() {
        let stuck =
            gate(Duration::ZERO).pass(|| async { Ok::<Look<()>, ()>(Look::NotYet("pending".into())) }).await;
        let Err(Stuck::Overdue(overdue)) = stuck else { panic!("{stuck:?}") };
        assert_eq!(
            overdue.to_string(),
            "waited 0 s for i-1: instance running; last seen: pending. Look at its console."
        );
    }

    #[tokio::test]
    async fn what_can_never_be_true_is_not_waited_for() {
        let looks = Cell::new(0);
        let stuck = gate(Duration::MAX)
            .pass(|| async {
                looks.set(looks.get() + 1);
                Err::<Look<()>, _>("terminated")
            })
            .await;
        assert_eq!((stuck, looks.get()), (Err(Stuck::Failed("terminated")), 1));
    }
}
