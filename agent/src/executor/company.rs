//! Rounds that yield: a round that is to run on an idle GPU stops the moment somebody else computes there.

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::Stop;

/// Who else is on the GPU, for people; `None`: nobody was seen.
pub(super) type Company = watch::Receiver<Option<String>>;

/// A round's wish to stop, with that of making room.
pub(super) struct Yielding {
    /// What the worker is to follow.
    pub(super) stop: watch::Receiver<Stop>,
    _task: AbortOnDropHandle<()>,
}

/// Adds to a round's wish to stop that it ends at once when there is company: whoever came needs the memory, too.
pub(super) fn yielding(mut stop: watch::Receiver<Stop>, mut company: Company) -> Yielding {
    let (sender, mut receiver) = watch::channel(stop.borrow_and_update().clone());
    // A wish from before counts too.
    receiver.mark_changed();
    let task = tokio::spawn(async move {
        loop {
            let wish = tokio::select! {
                Ok(()) = stop.changed() => stop.borrow_and_update().clone(),
                Ok(seen) = company.wait_for(Option::is_some) => {
                    let who = seen.clone().unwrap_or_default();
                    Stop::AtOnce(format!("{who}; the round makes room and is tried again later"))
                }
                else => return,
            };
            let makes_room = matches!(wish, Stop::AtOnce(_));
            sender.send_replace(wish);
            if makes_room {
                return;
            }
        }
    });
    Yielding {
        stop: receiver,
        _task: AbortOnDropHandle::new(task),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn company_ends_a_round_at_once_and_other_wishes_pass() {
        let (wish, stop) = watch::channel(Stop::No);
        let (seen, company) = watch::channel(None);
        let mut round = yielding(stop, company);
        wish.send_replace(Stop::Gently("enough".to_owned()));
        let passed = round.stop.wait_for(|stop| *stop != Stop::No).await.unwrap();
        assert_eq!(*passed, Stop::Gently("enough".to_owned()));
        drop(passed);
        seen.send_replace(Some("another process computes on the GPU".to_owned()));
        let at_once = |stop: &Stop| matches!(stop, Stop::AtOnce(_));
        let Stop::AtOnce(reason) = &*round.stop.wait_for(at_once).await.unwrap() else {
            unreachable!("waited for");
        };
        assert!(reason.starts_with("another process"), "{reason}");
    }

    #[tokio::test]
    async fn a_wish_from_before_counts() {
        let (_wish, stop) = watch::channel(Stop::AtOnce("now".to_owned()));
        let (_seen, company) = watch::channel(None);
        let mut round = yielding(stop, company);
        round.stop.changed().await.unwrap();
        assert_eq!(*round.stop.borrow(), Stop::AtOnce("now".to_owned()));
    }
}
