//! A run for programs.

use serde_json::{Map, Value, json};

use super::{Fault, Figures, Run};
use crate::report;

pub(super) fn json(run: &Run) -> Value {
    let figures = Figures::of(run);
    let mut json = report::json(&run.finding, &run.model);
    let settings: Map<String, Value> =
        run.settings.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let gaps = figures.gaps.iter();
    let gaps = gaps.map(|gap| json!({ "from_ns": gap.from_ns, "until_ns": gap.until_ns }));
    let of_run = json!({
        "workload": run.workload,
        "seed": run.seed,
        "nemeses": run.nemeses,
        "system": run.system,
        "began": run.began,
        "seconds": run.length.as_secs_f64(),
        "counts": figures.all.counts,
        "ok_per_s": figures.all.ok_per_s,
        "latency": figures.all.latency,
        "by_f": figures.by_f,
        "without_success": gaps.collect::<Vec<_>>(),
        "faults": run.faults_in_order().into_iter().map(fault).collect::<Vec<_>>(),
        "recovered_after_s": run.recovered_after.as_secs_f64(),
        "outcomes_asked_for": run.asked_for,
        "troubles": run.troubles,
        "settings": settings,
        "command": run.command,
    });
    if let (Value::Object(json), Value::Object(of_run)) = (&mut json, of_run) {
        json.extend(of_run);
    }
    json
}

fn fault(fault: &Fault) -> Value {
    json!({
        "name": fault.name,
        "target": fault.target,
        "from_ns": fault.from_ns,
        "until_ns": fault.until_ns,
        "effect": fault.effect,
    })
}
