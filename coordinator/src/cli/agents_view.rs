//! Agents as the command line shows them: what the fleet knows of one together with its enrolment, as a line for people and as JSON. Asks nobody.

use std::{collections::BTreeMap, time::Duration};

use batchstep_proto::wire;
use serde_json::json;

use super::{grid, sweep_view};

/// Characters of an id that are shown, from its end: agents that were enrolled within a minute begin alike.
const SHORT_ID: usize = 8;

/// An agent that has connected since the coordinator started, or was enrolled, or both.
pub(super) struct Listed {
    id: String,
    known: Option<wire::Agent>,
    enrolled: Option<wire::EnrolledAgent>,
}

impl Listed {
    /// Puts together what belongs to one agent; by host, then by id.
    pub(super) fn join(known: Vec<wire::Agent>, enrolled: Vec<wire::EnrolledAgent>) -> Vec<Self> {
        let mut enrolled: BTreeMap<String, wire::EnrolledAgent> = enrolled
            .into_iter()
            .map(|agent| (agent.agent_id.clone(), agent))
            .collect();
        let mut listed: Vec<Self> = known
            .into_iter()
            .map(|agent| Self {
                id: agent.agent_id.clone(),
                enrolled: enrolled.remove(&agent.agent_id),
                known: Some(agent),
            })
            .collect();
        listed.extend(enrolled.into_values().map(|agent| Self {
            id: agent.agent_id.clone(),
            known: None,
            enrolled: Some(agent),
        }));
        listed.sort_by(|a, b| (a.host(), &a.id).cmp(&(b.host(), &b.id)));
        listed
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// As it last called itself.
    pub(super) fn host(&self) -> &str {
        let now = self.known.as_ref().and_then(|agent| agent.host.as_ref());
        let then = self.enrolled.as_ref().map(|agent| &agent.hostname);
        now.map(|host| &host.hostname)
            .or(then)
            .map_or("", String::as_str)
    }

    /// False where somebody took it away, and it is not here.
    pub(super) fn is_wanted(&self) -> bool {
        !self.is_revoked() && (self.known.is_some() || !self.is_removed())
    }

    /// Since the coordinator started.
    pub(super) const fn has_said_hello(&self) -> bool {
        self.known.is_some()
    }

    /// As far as the coordinator knows.
    pub(super) fn is_connected(&self) -> bool {
        let state = self.known.as_ref().map(wire::Agent::state);
        state.is_some_and(|state| {
            !matches!(
                state,
                wire::AgentState::Unreachable | wire::AgentState::Lost
            )
        })
    }

    /// For sentences.
    pub(super) fn name(&self) -> String {
        format!("The agent {} on {}", self.short(), self.host())
    }

    pub(super) fn rounds_out(&self) -> u32 {
        self.known.as_ref().map_or(0, |agent| agent.attempts)
    }

    pub(super) fn is_revoked(&self) -> bool {
        let enrolled = self.enrolled.as_ref();
        enrolled.is_some_and(|agent| agent.revoked_at.is_some())
    }

    fn is_removed(&self) -> bool {
        self.enrolled.as_ref().is_some_and(|agent| agent.removed)
    }

    fn short(&self) -> &str {
        let start = self.id.len().saturating_sub(SHORT_ID);
        self.id.get(start..).unwrap_or(&self.id)
    }

    fn state(&self) -> &'static str {
        match &self.known {
            _ if self.is_revoked() => "revoked",
            Some(agent) => agent.state().word(),
            None if self.is_removed() => "removed",
            None => "enrolled",
        }
    }

    fn devices(&self) -> &[wire::Device] {
        self.known.as_ref().map_or(&[], |agent| &agent.devices)
    }

    fn heard(&self) -> Option<Duration> {
        let age = self.known.as_ref()?.since_last_message_ns?;
        Some(Duration::from_nanos(age))
    }

    /// When and why it was last turned away; none where that does not matter any more.
    fn refusal(&self) -> Option<(&String, &str)> {
        let enrolled = self.enrolled.as_ref().filter(|_| !self.is_revoked())?;
        Some((enrolled.refused_at.as_ref()?, &enrolled.refused_reason))
    }

    fn why(&self) -> String {
        let known = self.known.as_ref();
        let revoked = self.enrolled.as_ref().and_then(|agent| {
            let at = sweep_view::when(agent.revoked_at.as_ref()?);
            Some(if agent.revoked_reason.is_empty() {
                format!("revoked {at}")
            } else {
                format!("revoked {at}: {}", agent.revoked_reason)
            })
        });
        let cordon = known.and_then(|agent| agent.cordon_reason.clone());
        let drain = known.and_then(|agent| agent.drain_reason.as_ref());
        let drain = drain.map(|reason| {
            if reason.is_empty() {
                "drained".to_owned()
            } else {
                format!("drained: {reason}")
            }
        });
        let refused = self.refusal().map(|(at, reason)| {
            let at = sweep_view::when(at);
            format!("turned away {at}: {reason}")
        });
        let reasons = [revoked, cordon, drain, refused].into_iter().flatten();
        reasons.collect::<Vec<_>>().join("; ")
    }
}

/// For scripts; documented in docs/guide/output.md.
pub(super) fn as_json(agent: &Listed) -> serde_json::Value {
    let devices: Vec<_> = agent
        .devices()
        .iter()
        .map(|device| {
            let reasons = device.ineligible.iter();
            let reasons: Vec<_> = reasons
                .map(|reason| json!({"code": reason.code, "message": reason.message}))
                .collect();
            json!({"device_id": device.id, "model": device.model, "ineligible": reasons})
        })
        .collect();
    let known = agent.known.as_ref();
    let host = known.and_then(|agent| agent.host.as_ref());
    json!({
        "agent_id": agent.id,
        "state": agent.state(),
        "hostname": agent.host(),
        "agent_version": host.map(|host| &host.agent_version).filter(|version| !version.is_empty()),
        "devices": devices,
        "attempts": agent.rounds_out(),
        "seconds_since_last_message": agent.heard().map(|age| age.as_secs_f64()),
        "drain_reason": known.and_then(|agent| agent.drain_reason.as_ref()),
        "cordon_reason": known.and_then(|agent| agent.cordon_reason.as_ref()),
        "enrolled": agent.enrolled.as_ref().map(|enrolled| json!({
            "at": enrolled.enrolled_at,
            "certificate_ends_at": enrolled.certificate_ends_at,
            "machine_id": enrolled.machine_id,
            "removed": enrolled.removed,
            "revoked_at": enrolled.revoked_at,
            "revoked_reason": enrolled.revoked_at.as_ref().map(|_| &enrolled.revoked_reason),
            "refused_at": enrolled.refused_at,
            "refused_reason": enrolled.refused_at.as_ref().map(|_| &enrolled.refused_reason),
        })),
    })
}

/// A table; where it would be empty, what became of those that are `gone` and not shown.
pub(super) fn for_people(agents: &[Listed], gone: &[Listed]) -> String {
    if agents.is_empty() {
        return nobody(gone);
    }
    let mut table = grid::grid();
    table.set_header([
        "agent",
        "host",
        "state",
        "devices",
        "rounds out",
        "heard",
        "why",
    ]);
    for agent in agents {
        let heard = agent.heard().map_or_else(
            || "not since the start".to_owned(),
            |age| format!("{} s ago", age.as_secs()),
        );
        table.add_row([
            agent.short().to_owned(),
            agent.host().to_owned(),
            agent.state().to_owned(),
            devices(agent.devices()),
            agent.rounds_out().to_string(),
            heard,
            agent.why(),
        ]);
    }
    grid::trim_lines(&table.to_string())
}

fn nobody(gone: &[Listed]) -> String {
    if gone.is_empty() {
        return "No agents yet. `batchstep-agent run` on a GPU host makes one.".to_owned();
    }
    let revoked = gone.iter().filter(|agent| agent.is_revoked()).count();
    let counts = [(revoked, "revoked"), (gone.len() - revoked, "removed")];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts
        .map(|(count, what)| match count {
            1 => format!("1 was {what}"),
            _ => format!("{count} were {what}"),
        })
        .collect();
    format!(
        "No agents any more: {}; with --all they are listed. A removed one comes back when it is started; any other host needs `batchstep token create` here \
         and `batchstep-agent enroll` there.",
        counts.join(", ")
    )
}

/// How many of each model, those that no trial can start on apart.
fn devices(devices: &[wire::Device]) -> String {
    let mut models: Vec<(&str, usize, usize)> = Vec::new();
    for device in devices {
        let unfit = usize::from(!device.ineligible.is_empty());
        match models.iter_mut().find(|(model, ..)| *model == device.model) {
            Some((_, all, bad)) => {
                *all += 1;
                *bad += unfit;
            }
            None => models.push((&device.model, 1, unfit)),
        }
    }
    let models = models.into_iter().map(|(model, all, bad)| {
        let count = if all == 1 {
            String::new()
        } else {
            format!("{all} x ")
        };
        let unfit = if bad == 0 {
            String::new()
        } else {
            format!(" ({bad} not eligible)")
        };
        format!("{count}{model}{unfit}")
    });
    models.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_was_turned_away_is_listed_with_when_and_why() {
        let turned_away = wire::EnrolledAgent {
            agent_id: "0190d3a0-0000-7000-8000-00000000000a".to_owned(),
            hostname: "gpu-07".to_owned(),
            refused_at: Some("2026-11-26T06:12:00.5Z".to_owned()),
            refused_reason: "the host is that of another agent".to_owned(),
            ..wire::EnrolledAgent::default()
        };
        let mut listed = Listed::join(Vec::new(), vec![turned_away]);
        let why = "turned away 2026-11-26 06:12:00 UTC: the host is that of another agent";
        assert_eq!(listed[0].why(), why);
        let table = for_people(&listed, &[]);
        assert!(table.contains(why) && table.contains("enrolled"), "{table}");
        let json = as_json(&listed[0]);
        assert_eq!(json["enrolled"]["refused_at"], "2026-11-26T06:12:00.5Z");
        // Nobody who is revoked is waited for.
        if let Some(enrolled) = &mut listed[0].enrolled {
            enrolled.revoked_at = Some("2026-11-26T06:13:00Z".to_owned());
        }
        assert_eq!(listed[0].why(), "revoked 2026-11-26 06:13:00 UTC");
    }

    #[test]
    fn a_list_without_agents_says_whether_there_were_any() {
        let removed = wire::EnrolledAgent {
            agent_id: "0190d3a0-0000-7000-8000-00000000000a".to_owned(),
            removed: true,
            ..wire::EnrolledAgent::default()
        };
        let revoked = |id: &str| wire::EnrolledAgent {
            agent_id: id.to_owned(),
            revoked_at: Some("2026-11-26T06:13:00Z".to_owned()),
            ..removed.clone()
        };
        let gone = Listed::join(
            Vec::new(),
            vec![removed.clone(), revoked("b"), revoked("c")],
        );
        assert!(!gone.iter().any(Listed::is_wanted));
        let said = for_people(&[], &gone);
        let counts =
            "No agents any more: 2 were revoked, 1 was removed; with --all they are listed.";
        assert!(said.starts_with(counts), "{said}");
        let said = for_people(&[], &Listed::join(Vec::new(), vec![removed]));
        assert!(
            said.starts_with("No agents any more: 1 was removed;"),
            "{said}"
        );
        assert!(for_people(&[], &[]).starts_with("No agents yet."));
        // Who is there is what was asked for.
        assert!(!for_people(&gone, &gone).contains("No agents"));
    }
}
