//! `certus audit`: who did what, when.
//!
//! What lives here: arguments, and the columns.

use std::collections::VecDeque;

use super::super::Outcome;
use super::Api;
use super::show::{self, Column};

/// Arguments of `audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  certus audit --action anchor. --since 2027-01-31T00:00:00Z
  certus audit --tenant lab --json          with what it was before and after")]
pub(in crate::control::cli) struct Args {
    /// How many lines: the last ones.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Only those of this tenant.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Only those whose action begins so, such as "anchor.".
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only those of this caller, such as "account ada".
    #[arg(long, value_name = "CALLER")]
    who: Option<String>,
    /// Only those about this object.
    #[arg(long, value_name = "OBJECT")]
    object: Option<String>,
    /// Not before: 2027-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Not after: 2027-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    api: Api,
}

const COLUMNS: &[Column] = &[
    ("AT", "/at"),
    ("WHO", "/who"),
    ("ADDRESS", "/address"),
    ("ACTION", "/action"),
    ("TENANT", "/tenant"),
    ("KIND", "/kind"),
    ("OBJECT", "/object"),
];

pub(in crate::control::cli) fn run(args: &Args) -> Outcome {
    super::run(&args.api, async |client| {
        let given = [
            ("tenant", &args.tenant),
            ("action", &args.action),
            ("who", &args.who),
            ("object", &args.object),
            ("since", &args.since),
            ("until", &args.until),
        ];
        let most = usize::try_from(args.limit).unwrap_or(usize::MAX);
        let mut last = VecDeque::new();
        client
            .each(&["audit"], &super::given(&given), |line| {
                if last.len() == most {
                    last.pop_front();
                }
                last.push_back(line);
                true
            })
            .await?;
        show::list(&args.api, last.make_contiguous(), COLUMNS);
        Ok(())
    })
}
