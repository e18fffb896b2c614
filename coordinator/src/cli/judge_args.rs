//! Flags for the judge's thresholds; the defaults are those of [`Policy`], with which its false alarms were measured. Used by `serve`.

use batchstep_judge::Policy;
use clap::Args;

use super::exit;

/// What makes a night worth a verdict. Shares are relative: 0.03 is 3 %.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Judge")]
pub(super) struct JudgeArgs {
    /// Valid nights that a baseline spans.
    #[arg(long, value_name = "N", default_value_t = Policy::default().baseline_nights, hide_short_help = true)]
    judge_baseline_nights: usize,
    /// Valid nights before which a series is learned.
    #[arg(long, value_name = "N", default_value_t = Policy::default().learning_nights, hide_short_help = true)]
    judge_learning_nights: usize,
    /// The shift that counts before that.
    #[arg(long, value_name = "SHARE", default_value_t = Policy::default().learning_shift, hide_short_help = true)]
    judge_learning_shift: f64,
    /// A hit is further from the baseline than this many of its standard deviations,
    #[arg(long, value_name = "SIGMAS", default_value_t = Policy::default().hit_sigmas, hide_short_help = true)]
    judge_hit_sigmas: f64,
    /// and by at least this share.
    #[arg(long, value_name = "SHARE", default_value_t = Policy::default().hit_shift, hide_short_help = true)]
    judge_hit_shift: f64,
    /// The spread of nights is taken for at least this, a share: a quiet month does not make a hair a hit.
    #[arg(long, value_name = "SHARE", default_value_t = Policy::default().least_sigma, hide_short_help = true)]
    judge_least_sigma: f64,
    /// So many hits are an alarm,
    #[arg(long, value_name = "N", default_value_t = Policy::default().confirming_hits, hide_short_help = true)]
    judge_confirming_hits: usize,
    /// among so many valid nights.
    #[arg(long, value_name = "N", default_value_t = Policy::default().confirming_nights, hide_short_help = true)]
    judge_confirming_nights: usize,
    /// Valid nights whose most frequent step is the usual one.
    #[arg(long, value_name = "N", default_value_t = Policy::default().step_nights, hide_short_help = true)]
    judge_step_nights: usize,
    /// Steps that differ by at most this share are the same.
    #[arg(long, value_name = "SHARE", default_value_t = Policy::default().step_tolerance, hide_short_help = true)]
    judge_step_tolerance: f64,
    /// A shift together with a changed environment counts from this share on, and from hit-sigmas on.
    #[arg(long, value_name = "SHARE", default_value_t = Policy::default().environment_shift, hide_short_help = true)]
    judge_environment_shift: f64,
    /// It is told on its first night from this share on; below, and where siblings do not share it, it takes a second night.
    #[arg(long, value_name = "SHARE", default_value_t = Policy::default().environment_far, hide_short_help = true)]
    judge_environment_far: f64,
    /// Valid nights at the end of which a drift is looked for,
    #[arg(long, value_name = "N", default_value_t = Policy::default().drift_recent, hide_short_help = true)]
    judge_drift_recent: usize,
    /// against so many before them.
    #[arg(long, value_name = "N", default_value_t = Policy::default().drift_before, hide_short_help = true)]
    judge_drift_before: usize,
    /// Probability below which ranks as different as theirs are no chance.
    #[arg(long, value_name = "P", default_value_t = Policy::default().drift_probability, hide_short_help = true)]
    judge_drift_probability: f64,
    /// A drift is at least this share.
    #[arg(long, value_name = "SHARE", default_value_t = Policy::default().drift_shift, hide_short_help = true)]
    judge_drift_shift: f64,
    /// Nights above the best level there ever was by this share have crept.
    #[arg(long, value_name = "SHARE", default_value_t = Policy::default().creep, hide_short_help = true)]
    judge_creep: f64,
    /// Devices of a model from which they are judged together.
    #[arg(long, value_name = "N", default_value_t = Policy::default().model_devices, hide_short_help = true)]
    judge_model_devices: usize,
    /// Devices of a model are slower together when their median shift is further from none than this many standard deviations of a median,
    #[arg(long, value_name = "SIGMAS", default_value_t = Policy::default().model_sigmas, hide_short_help = true)]
    judge_model_sigmas: f64,
    /// and by at least this share.
    #[arg(long, value_name = "SHARE", default_value_t = Policy::default().model_shift, hide_short_help = true)]
    judge_model_shift: f64,
    /// Siblings, the device itself among them, from which it can be an outlier.
    #[arg(long, value_name = "N", default_value_t = Policy::default().outlier_devices, hide_short_help = true)]
    judge_outlier_devices: usize,
    /// An outlier is slower than its siblings' median by so many of their standard deviations,
    #[arg(long, value_name = "SIGMAS", default_value_t = Policy::default().outlier_sigmas, hide_short_help = true)]
    judge_outlier_sigmas: f64,
    /// and by this share,
    #[arg(long, value_name = "SHARE", default_value_t = Policy::default().outlier_shift, hide_short_help = true)]
    judge_outlier_shift: f64,
    /// or by this share alone.
    #[arg(long, value_name = "SHARE", default_value_t = Policy::default().outlier_far, hide_short_help = true)]
    judge_outlier_far: f64,
    /// Valid nights in a row near the baseline that end an alarm.
    #[arg(long, value_name = "N", default_value_t = Policy::default().resolving_nights, hide_short_help = true)]
    judge_resolving_nights: usize,
    /// Near is within so many standard deviations,
    #[arg(long, value_name = "SIGMAS", default_value_t = Policy::default().resolving_sigmas, hide_short_help = true)]
    judge_resolving_sigmas: f64,
    /// or this share, whichever is more.
    #[arg(long, value_name = "SHARE", default_value_t = Policy::default().resolving_shift, hide_short_help = true)]
    judge_resolving_shift: f64,
    /// Days, not nights, for which an acknowledged alarm stays silent.
    #[arg(long, value_name = "DAYS", default_value_t = Policy::default().muted_days, hide_short_help = true)]
    judge_muted_days: u32,
}

impl JudgeArgs {
    /// The same for the judge.
    ///
    /// # Errors
    /// When it could not follow them.
    pub(super) fn policy(&self) -> anyhow::Result<Policy> {
        let policy = Policy {
            baseline_nights: self.judge_baseline_nights,
            learning_nights: self.judge_learning_nights,
            learning_shift: self.judge_learning_shift,
            hit_sigmas: self.judge_hit_sigmas,
            hit_shift: self.judge_hit_shift,
            least_sigma: self.judge_least_sigma,
            confirming_hits: self.judge_confirming_hits,
            confirming_nights: self.judge_confirming_nights,
            step_nights: self.judge_step_nights,
            step_tolerance: self.judge_step_tolerance,
            environment_shift: self.judge_environment_shift,
            environment_far: self.judge_environment_far,
            drift_recent: self.judge_drift_recent,
            drift_before: self.judge_drift_before,
            drift_probability: self.judge_drift_probability,
            drift_shift: self.judge_drift_shift,
            creep: self.judge_creep,
            model_devices: self.judge_model_devices,
            model_sigmas: self.judge_model_sigmas,
            model_shift: self.judge_model_shift,
            outlier_devices: self.judge_outlier_devices,
            outlier_sigmas: self.judge_outlier_sigmas,
            outlier_shift: self.judge_outlier_shift,
            outlier_far: self.judge_outlier_far,
            resolving_nights: self.judge_resolving_nights,
            resolving_sigmas: self.judge_resolving_sigmas,
            resolving_shift: self.judge_resolving_shift,
            muted_days: self.judge_muted_days,
        };
        policy
            .check()
            .map_err(|error| exit::usage(error.to_string().replacen("judge.", "judge_", 1)))?;
        Ok(policy)
    }
}
