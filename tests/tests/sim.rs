//! Some seeds of the simulator in every test run; CI runs many more in release.

use synod_tests::sim::mutation::Mutation;
use synod_tests::sim::run::run;

#[test]
fn seeds_hold_all_invariants() {
    let mut committed = 0;
    for seed in 0..40 {
        let report = run(seed, None, false);
        assert_eq!(report.violation, None, "synod-sim run --seed {seed} --trace");
        committed += report.committed;
    }
    assert!(committed > 40 * 100, "{committed}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for (seed, programs) in [(3, true), (7, true), (8, true), (17, false)] {
        let (one, two) = (run(seed, None, true), run(seed, None, true));
        assert!(!one.lines.is_empty());
        let library = one.lines.iter().any(|line| line.contains(" has committed "));
        assert_eq!(library, programs, "seed {seed} has clients that use the library");
        assert_eq!(one.lines, two.lines);
        assert_eq!(one.hash, two.hash);
        assert_eq!(run(seed, None, false).hash, one.hash, "looking changes nothing");
    }
}

/// The mutants that show at once; `synod-sim mutants` runs them all.
#[test]
fn mutants_are_caught() {
    let list = [
        Mutation::VoteBeforeDurable,
        Mutation::AnswerBeforeDurable,
        Mutation::AckBeforeDurable,
        Mutation::ForgetPrepared,
        Mutation::ForgetCommitted,
        Mutation::ForgetAfterFirstAck,
        Mutation::AbortOnInquiry,
        Mutation::CommitOnFewerVotes,
        Mutation::AbortPrepared,
        Mutation::OnePhaseForgotten,
        Mutation::OnePhasePresumed,
        Mutation::ReleaseWithoutTimestamp,
        Mutation::ReadReleasesAtVote,
    ];
    for mutation in list {
        let caught = (0..20).any(|seed| run(seed, Some(mutation), false).violation.is_some());
        assert!(caught, "{mutation:?} escapes 20 seeds");
    }
}
