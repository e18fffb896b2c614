//! What the services ask of the task, one by one: handed to the state machine, or answered from it and the store. What follows is committed by the task's loop.

use batchstep_core::fleet::{Answer, Disposition, Input, ReplyKey};
use batchstep_proto::ids::AttemptId;

use super::Actor;
use crate::{
    engine::{
        Command, Reply,
        reply::{respond, submitted_before, unreadable},
    },
    store::{Store, StoreError},
};

impl<S: Store> Actor<S> {
    /// Takes one. What follows from it waits for [`Actor::flush`].
    pub(super) async fn take(&mut self, command: Command) {
        match command {
            Command::Open {
                session,
                hello,
                outbound,
            } => {
                if self.closing {
                    outbound.close("the coordinator is stopping".to_owned(), false);
                } else if self.state.is_none() {
                    outbound.close("the coordinator cannot record anything".to_owned(), false);
                } else {
                    self.sessions.insert(session, outbound);
                    self.step(Input::Hello { session, hello });
                }
            }
            Command::Tell(Input::Disconnected { session, reason }) => {
                // A session that the coordinator itself closed is no news.
                if self.sessions.remove(&session).is_some() {
                    self.step(Input::Disconnected { session, reason });
                }
            }
            Command::Tell(input) => self.step(input),
            Command::Submit {
                request,
                sweep,
                spec,
                reply,
            } => {
                self.flush().await;
                match self.store.find_request(request).await {
                    Ok(Some(known)) => submitted_before(&*self.store, known, &spec, reply).await,
                    Ok(None) => {
                        let reply = self.expect(reply);
                        self.step(Input::Submit {
                            reply,
                            request,
                            sweep,
                            spec,
                        });
                    }
                    Err(error) => unreadable(&error, reply),
                }
            }
            Command::Cancel {
                sweep,
                reason,
                reply,
            } => {
                let reply = self.expect(reply);
                self.step(Input::Cancel {
                    reply,
                    sweep,
                    reason,
                });
            }
            Command::Drain {
                agent,
                drain,
                reason,
                enrolled,
                reply,
            } => {
                let reply = self.expect(reply);
                self.step(Input::Drain {
                    reply,
                    agent,
                    drain,
                    reason,
                    enrolled,
                });
            }
            Command::Remove {
                agent,
                replaced,
                enrolled,
                reply,
            } => {
                let reply = self.expect(reply);
                self.step(Input::Remove {
                    reply,
                    agent,
                    replaced,
                    enrolled,
                });
            }
            Command::Report {
                agent,
                report,
                digest,
                reply,
            } => match self.reported_before(report.attempt, &digest).await {
                Ok(true) => {
                    self.meters.answered_duplicate();
                    respond(reply, Ok(Answer::Reported(Disposition::Duplicate)));
                }
                Ok(false) if self.must_wait(report.attempt) => self.waiting.add(Command::Report {
                    agent,
                    report,
                    digest,
                    reply,
                }),
                Ok(false) => {
                    let reply = self.expect(reply);
                    self.step(Input::Report {
                        reply,
                        agent,
                        report,
                        digest,
                    });
                }
                Err(error) => unreadable(&error, reply),
            },
            // A question that is dropped reads as a failing store.
            Command::Sweep(sweep, answer) => {
                self.flush().await;
                if let Some(state) = &self.state {
                    let _ = answer.send(state.sweep(sweep));
                }
            }
            Command::Sweeps(answer) => {
                self.flush().await;
                if let Some(state) = &self.state {
                    let active = state.active_sweeps();
                    let _ = answer.send(
                        active
                            .into_iter()
                            .filter_map(|id| state.sweep(id))
                            .collect(),
                    );
                }
            }
            Command::Agents(answer) => {
                self.flush().await;
                if let Some(state) = &self.state {
                    let _ = answer.send(state.agents());
                }
            }
            Command::IsHere(agent, answer) => {
                self.flush().await;
                if let Some(state) = &self.state {
                    let _ = answer.send(state.is_here(agent));
                }
            }
            Command::Census(answer) => {
                if let Some(state) = &self.state {
                    let _ = answer.send(state.census());
                }
            }
        }
    }

    /// True when a report is on record already, as far as the state machine cannot tell by itself.
    async fn reported_before(
        &mut self,
        attempt: AttemptId,
        digest: &[u8; 32],
    ) -> Result<bool, StoreError> {
        let state = self.state.as_ref();
        if state.is_some_and(|state| state.knows_parts_of(attempt)) {
            return Ok(false);
        }
        self.flush().await;
        let known = self.store.report_known(attempt, digest).await?;
        Ok(known.is_some())
    }

    /// True when a report of this attempt cannot be judged before everything is read back.
    fn must_wait(&self, attempt: AttemptId) -> bool {
        let state = self.state.as_ref();
        state.is_some_and(|state| state.may_be_unread(attempt))
    }

    /// Numbers a call so that the state machine can answer it.
    fn expect(&mut self, reply: Reply) -> ReplyKey {
        let key = ReplyKey(self.next_reply);
        self.next_reply += 1;
        self.replies.insert(key, reply);
        key
    }
}
