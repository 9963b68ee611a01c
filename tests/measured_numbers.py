"""The measured numbers in the pages, each with the committed file below benchmarks/results that proves it."""

from __future__ import annotations

from benchmarks.gpu_recipes import table as recipe_table
from benchmarks.gpu_training import table as training_table
from tests import evidence_values as values
from tests.evidence_values import Values
from tests.story_values import STORY

NOISE_LIMITS = "../../reports/comparison/noise_limits.json"  # shipped with the package
_JUDGED = "| {:.2f} | {:.1f} to {:.1f} % | {:.1f} to {:.1f} % | {:.2f} to {:.2f} |"
_SCRIPTS = "{:.2f} ({:.2f} to {:.2f}) |"

# By page and evidence: a format string, and the function from the evidence to its values. The filled string stands in
# the page, whatever its line breaks and the targets of its links.
MEASURED: dict[str, dict[str, list[tuple[str, Values]]]] = {
    "docs/quickstart.md": {
        "quickstart/results.json": [
            ("{} QLoRA steps on {} synthetic", lambda d: (d["training"]["steps"], d["training"]["rows"])),
        ],
    },
    "docs/metrics.md": {
        "gpu/real/results.json": [
            (
                "{} test ids of PubMedQA the majority class alone has accuracy {:.1f} % and macro-F1 {:.1f} %",
                values.majority,
            ),
        ],
    },
    "docs/speed.md": {
        "cpu_speed.json": [
            ("{} PubMedQA-like items, {} texts, {} answers of {} tokens", lambda d: tuple(d["items"].values())),
            ("base and one adapter take {:.0f} s, and stock lm-eval's two runs {:.0f} s", values.cpu_seconds),
            ("a further adapter takes {:.0f} s.", lambda d: (d["seconds"]["medbench, further adapter"],)),
            (
                "The peak memory is {:.2f} GB, that of stock lm-eval {:.2f} GB (base) and {:.2f} GB (adapter).",
                lambda d: tuple(d["peak_memory_bytes"][name] / 1e9 for name in ("ours", "stock_base", "stock_adapter")),
            ),
            ("lm-eval's own work take {:.0f} of the {:.0f} s", values.outside_the_engine),
        ],
        "quickstart_speed.json": [
            (
                "the whole quickstart takes {:.0f} s, and {:.0f} s at an early commit",
                lambda d: (d["seconds"]["after"], d["seconds"]["before"]),
            ),
            ("shown again in {:.2f} s", lambda d: (d["short_seconds"]["a finished run shown"],)),
        ],
        "cpu_speed_intel.json": [
            ("base and one adapter take {:.0f} s, stock lm-eval's two runs {:.0f} s", values.cpu_seconds),
            ("which is {:.2f} times as long", lambda d: (d["ratios"]["end to end"],)),
            ("the peak memory is {:.2f} GB.", lambda d: (d["peak_memory_bytes"]["ours"] / 1e9,)),
        ],
        "cpu_speed_real.json": [("base and one adapter take {:.0f} s, stock lm-eval {:.0f} s", values.cpu_seconds)],
        "gpu/speed_slower_cores.json": [
            (
                "is {:.0f} times as fast as stock lm-eval at batch 8 and {:.1f} times at its best batch",
                values.ratios("steady"),
            ),
            ("which takes {:.0f} s there", lambda d: (d["stages"]["ours"]["seconds_until"]["engine"],)),
            ("there, {:.1f} and {:.2f} times", values.ratios("whole process")),
        ],
        "gpu/speed.json": [
            ("generates {:.0f} (base) and {:.0f} (adapter) tokens a second at batch 8", values.stock_speeds("8")),
            ("and {:,.0f} and {:,.0f} at batch 256", values.stock_speeds("256")),
            ("stock lm-eval takes {:.0f} s to load", lambda d: (d["stages"]["stock"]["base"]["load_seconds"],)),
            (
                "takes {:.1f} s with the transformers engine and {:.1f} s with vLLM",
                lambda d: tuple(d["stages"][stage]["again"]["answer_seconds"] for stage in ("ours", "warm")),
            ),
            (
                "The first start takes {:.0f} s and {:.0f} s, a later one {:.0f} s and {:.0f} s",
                lambda d: tuple(
                    d["stages"][stage]["seconds_until"]["engine"] for stage in ("ours", "vllm", "restart", "warm")
                ),
            ),
            ("time of its answers and {:.2f} s", lambda d: (d["stages"]["many"]["seconds_beside_answers"],)),
            (
                "a Qwen 2 shape of 7B is {:.1f} times faster",
                lambda d: (d["stages"]["shapes"]["qwen-7b-12-layers"]["ratio"],),
            ),
            (
                "(sliding windows, soft caps) is {:.1f} times faster",
                lambda d: (d["stages"]["shapes"]["gemma2-9b-12-layers"]["ratio"],),
            ),
        ],
        "gpu/real_speed.json": [
            (
                "scoring takes {:.0f} s on an H200, and {:.0f} s before the fused kernels; {:.0f} and {:.0f} s",
                lambda d: (
                    *(d["runs"][name]["stages"]["score"] for name in ("new", "old")),
                    *(d["runs"][name]["command_seconds"] for name in ("new", "old")),
                ),
            ),
        ],
        "gpu/decoding_step.json": [
            (
                "{} answers with the 8B shape takes {:.1f} ms at {} tokens of context and {:.1f} ms at {:,}",
                lambda d: (
                    *(d["steps"][1][key] for key in ("rows", "median_ms", "tokens")),
                    *(d["steps"][2][key] for key in ("median_ms", "tokens")),
                ),
            ),
        ],
    },
    "docs/judging.md": {
        "judging.json": [
            (f"| {judge} {_JUDGED}", values.calibrated(judge))
            for judge in ("good", "good, narrow scale", "biased", "noisy", "useless")
        ],
        "judging_story.json": STORY,
        "gpu/judge.json": [
            ("it judged {} answers", lambda d: (d["replies"][0]["total"],)),
            (
                "killed after {} requests, and sent {} of them again, of at most {} that were on their way",
                lambda d: (
                    d["requests"]["before the kill"],
                    d["sent_twice"],
                    d["unsaved_at_most"],
                ),
            ),
        ],
    },
    "SECURITY.md": {
        "gate_tampering.json": [("| {:,} edits of one thing each", lambda d: (d["edits"],))],
        "fuzz.json": [
            ("| {:,} damaged inputs", lambda d: (d["inputs"],)),
            ("exit code 2 or accepted, within {} seconds", lambda d: (d["longest_allowed_seconds"],)),
        ],
    },
    "docs/verify.md": {
        "gpu/certificates.json": [
            (
                "the second command took {:.0f} s and the third {:.0f} s ({} items;",
                lambda d: (
                    d["seconds"]["export merged"],
                    d["seconds"]["verify merged"],
                    d["certificates"]["merged"]["items"],
                ),
            ),
        ],
        "planted_faults.json": [("plants {} faults in a server", lambda d: (len(d["faults"]),))],
    },
    "docs/scoring.md": {
        "slices.json": [
            ("both models are equal, one is named in at most {:.1f} % of {:,} draws", values.equal_slices),
            ("eight is named in {:.1f} to {:.1f} %, never another one", lambda d: values.bad_slice(d)[:2]),
            ("its interval misses the true loss in at most {:.2f} %", lambda d: values.bad_slice(d)[2:]),
        ],
        "gpu/speed.json": [
            (
                "transformers generates {:,.0f} tokens a second and vLLM {:,.0f}",
                lambda d: tuple(d["ratios"][stage][values.STEADY] for stage in ("ours", "warm")),
            ),
        ],
        "gpu/agreement.json": [
            ("by up to {:.2f} nats between the engines", lambda d: (values.largest_difference(d, values.ENGINES),)),
            (
                "by up to {:.2f} nats between an engine and float32",
                lambda d: (values.largest_difference(d, values.TO_FLOAT32),),
            ),
            (
                "PubMedQA's {} official items",
                lambda d: (d["base"][values.ENGINES[0]]["choices_equal"].partition("/")[2],),
            ),
            ("different labels on {} (base), {} and {} items", lambda d: values.different(d, values.ENGINES[0])),
            ("a margin of at most {:.4f} nats", lambda d: (values.largest_margin(d),)),
            ("transformers differs on {}, {} and {} items", lambda d: values.different(d, values.TO_FLOAT32[0])),
            ("vLLM on {}, {} and {}.", lambda d: values.different(d, values.TO_FLOAT32[1])),
        ],
        "crash_proof.json": [("After {} signals on a [tiny model]", values.signals)],
        "crash_proof_quickstart.json": [("and {} on the [quickstart's]", values.signals)],
        "scoring_memory.json": [
            (
                "the peak was {:.0f} MB at {:,} samples, {:.0f} MB at {:,} and {:.0f} MB at {:,}",
                lambda d: tuple(run[key] for run in d["runs"] for key in ("peak_mb", "samples")),
            ),
        ],
        "gpu/templates.json": [
            ("{} of {} prompts are those of Unsloth's", values.template_counts("prompts_as_unsloth_renders_them", 2)),
            ("{} of {} greedy answers", values.template_counts("equal_greedy_answers", 1)),
            ("differ by at most {:.4f} nats", values.largest_template_difference),
        ],
        NOISE_LIMITS: [
            ("{} of {} choices changed on a CPU (upper limit {:.1f} %)", values.noise_choices("cpu", "bfloat16")),
            ("{} of {} on an H200 ({:.1f} %)", values.noise_choices("cuda", "bfloat16")),
            ("other batches changed {} of {} ({:.1f} %)", values.noise_choices("cpu", "float32")),
        ],
    },
    "docs/training.md": {
        "checkpoints_speed.json": [
            (
                "took {:.0f} s in one pass and {:.0f} s in eight `medbench score` commands, a ratio of {:.2f}; with",
                values.checkpoints_together,
            ),
            ("it was {:.2f}. All scores are equal", values.checkpoints_alone),
        ],
        "gpu/curve/results.json": [
            ("SmolLM2 on {} real rows", lambda d: (d["training"]["rows"],)),
            (
                "took {:.0f} s, scoring the base and nine checkpoints {:.0f} s",
                lambda d: (d["stages"]["train"], d["stages"]["score"]),
            ),
        ],
        "gpu/overfitter/results.json": [
            ("{} of the rows for {} steps at five times the learning rate", lambda d: values.overfitter(d)[:2]),
            (
                "on {} held-out rows falls from {:.2f} to {:.2f} at step {} and rises to {:.2f} at step {} while",
                lambda d: values.overfitter(d)[2:],
            ),
            ("`{}`. `trainer.choose_by`", lambda d: (d["verdict"][0].partition(", after correction")[0],)),
            (
                "had chosen step {} on {} other rows",
                lambda d: (d["training"]["choice"]["step"], d["training"]["choice"]["items"]),
            ),
            (
                "Seven scorings while training took {:.0f} s of its {:.0f} s",
                lambda d: (sum(one["seconds"] for one in d["training"]["scores"]), d["training"]["seconds"]),
            ),
        ],
        "selection.json": [
            ("{:,} draws of each kind of data", values.selection("draws")),
            ("its shares are at most {:.2f} points off on average", values.selection("error")),
            ("interval misses in {:.1f} to {:.1f} % of the draws", values.selection("misses")),
            ("it looks {:.1f} to {:.1f} points better than it is", values.selection("reused")),
            ("is called better in up to {:.1f} %.", values.selection("better")),
        ],
        "gpu/backends.json": [
            (
                "{} steps of {} x {} real rows",
                lambda d: tuple(d["logs"]["trl"][key] for key in ("steps", "batch_size", "gradient_accumulation")),
            ),
            ("the mean loss is {} with either", lambda d: tuple({round(loss, 3) for loss in d["mean_loss"].values()})),
            ("the losses of a step differ by at most {:.4f};", lambda d: (d["largest_difference_of_a_step"],)),
            ("{:.2f} s with TRL, {:.2f} s with Unsloth", lambda d: tuple(d["seconds_per_step"].values())),
        ],
        "gpu/backends_float16.json": [
            ("(`--dtype float16`, {} steps", lambda d: (d["logs"]["trl"]["steps"],)),
            ("they differ by at most {:.4f}", lambda d: (d["largest_difference_of_a_step"],)),
        ],
        "gpu/training": [("{}", lambda folder: (training_table(folder),))],
        "gpu/training_faster_cores/unsloth-defaults.json": [
            ("`unsloth-defaults` took {:.2f} s", lambda d: (d["seconds_per_step"],)),
        ],
        "gpu/training_faster_cores/trl.json": [("and `trl` {:.2f} s, then", lambda d: (d["seconds_per_step"],))],
        "gpu/training_slower_cores/unsloth-defaults.json": [
            ("with slower cores {:.2f} s and", lambda d: (d["seconds_per_step"],)),
        ],
        "gpu/training_slower_cores/trl.json": [("s and {:.2f} s ([measurements]", lambda d: (d["seconds_per_step"],))],
        "gpu/recipes": [
            ("{}", lambda folder: (recipe_table(folder),)),
            ("The peak of the 8B recipes is then at most {:.2f} GiB", values.peak_8b),
        ],
        "overhead_narrow.json": [
            (f"hardly computes ([measurements]) | {_SCRIPTS} {_SCRIPTS}", values.overhead("bare", "bare32")),
        ],
        "overhead_cpu.json": [
            (f"CPU cores, SmolLM2-135M ([measurements]) | {_SCRIPTS} {_SCRIPTS}", values.overhead("bare", "bare32")),
        ],
        "gpu/overhead.json": [
            (f"H200, SmolLM2-135M ([measurements]) | {_SCRIPTS} {_SCRIPTS}", values.overhead("bare", "bare32")),
        ],
        "gpu/overhead_8b.json": [(f"random weights ([measurements]) | {_SCRIPTS}", values.overhead("bare"))],
        "gpu/again/overhead_8b.json": [(f"the same again ([measurements]) | {_SCRIPTS}", values.overhead("bare"))],
        "gpu/processes.json": [
            ("{} steps of SmolLM2-135M on H200s", lambda d: (d["logs"]["one"]["steps"],)),
            ("mean loss {:.4f} and {:.2f} s a step on one", values.processes("one")),
            ("{:.4f} and {:.2f} s a step on two with DDP", values.processes("ddp")),
            ("{:.4f} and {:.2f} s a step on two with FSDP", values.processes("fsdp")),
            (
                "the losses of a step differ by at most {:.3f}.",
                lambda d: (max(run["largest_difference_of_a_step"] for run in d["compared"].values()),),
            ),
        ],
    },
    "docs/gate.md": {
        "gate_simulation.json": [
            *(
                (f"{title} | {{:.1f}} % |", values.false_passes(rule))
                for rule, title in (
                    ("non_inferiority", "`non_inferiority`, candidate worse by the margin"),
                    ("no_regression", "`no_regression`, candidate worse by the margin"),
                    ("superiority", "`superiority`, equal candidate"),
                )
            ),
            ("after a pilot of {},", lambda d: tuple({pilot["pilot_items"] for pilot in d["accuracy"]["planning"]})),
            (
                "an equal candidate passes `no_regression` in {:.0f} % to {:.0f} %.",
                lambda d: values.span([100 * power for power in d["accuracy"]["power_when_asked"].values()]),
            ),
            (
                "drawn {:,} times, pass falsely in at most {:.1f} % ({:.0f} % and two standard errors are {:.1f} %)",
                values.drawn_false_passes,
            ),
            (
                "with {:,} items of which {:.0f} % are discordant",
                lambda d: (d["repeated_use"]["items"], 100 * d["repeated_use"]["discordance"]),
            ),
            (
                "passes `superiority` in {:.0f} %. Gate the one",
                values.repeated("one_of_20_equal_candidates_passes_superiority"),
            ),
            (
                "at one of these looks in {:.0f} %.",
                values.repeated("an_equal_candidate_passes_superiority_at_one_of_10_looks"),
            ),
            ("passes `no_regression` in {:.0f} %. Five", values.repeated("a_release_that_loses_1_point_passes")),
            (
                "pass all five in {:.0f} % and",
                values.repeated("5_releases_that_lose_1_point_each_pass_against_the_last_one"),
            ),
            (
                "as the baseline of all five it is {:.1f} %.",
                values.repeated("5_releases_that_lose_1_point_each_pass_against_the_first_one"),
            ),
        ],
    },
    "docs/leakage.md": {
        "leakage_speed.json": [
            (
                "{:,} rows of {:.0f} words against {:,} items take {:.0f} s of one core and {:.2f} GB",
                values.leakage_speed,
            ),
        ],
    },
    "docs/results.md": {
        "gpu/real/results.json": [
            ("at commit `{}`.", lambda d: (d["environment"]["git_commit"],)),
            ("answers yes to {:.1f} %, {:.1f} %, {:.1f} % and {:.1f} % of the items", values.yes_shares),
            ("the base to {:.1f} % where it generates", values.labels("base", "medbench_pubmedqa_cot", "yes")),
            ("where {1:.1f} % have yes in gold", values.labels("base", "medbench_pubmedqa_cot", "yes")),
            ("a gain of {:.1f} points of accuracy in the last setting", values.points("pubmedqa", "better")),
            ("always answering yes**, which has an accuracy of {:.1f} %.", values.majority_accuracy),
            (
                "lowers the perplexity from {:.2f} to {:.2f} and",
                values.scores("medbench_perplexity", "perplexity", "base", "reasoning"),
            ),
            (
                "keeps its format in {:.1f} % of its answers",
                values.scores("medbench_generation", "format_compliance", "reasoning", unit=100),
            ),
            ("loses {:.1f} and {:.1f} points of accuracy in two settings", values.points("reasoning", "worse")),
            ("{:.1f} % of its answers have no label", values.labels("reasoning", "medbench_pubmedqa_cot", "none")),
        ],
    },
    "docs/statistics.md": {
        "statistics.json": [
            ("over {:,} draws", lambda d: tuple({cell["draws"] for cell in d["drawn"]})),
            ("one adapter and for eight", values.kept),
            ("of {:.0f} to {:.0f} items reaches {:.2f} %", values.score_test),
        ],
        "judging.json": [
            ("{:,} draws of each kind of data, design and judge", values.judges("draws")),
            ("the intervals cover {:.1f} to {:.1f} %", values.judges("coverage")),
            ("gather at the top of the scale up to {:.1f} %", values.judges("top")),
            ("{:.2f} times on average at most, a single one by up to {:.2f}", values.judges("useless")),
            ("narrows them to {:.2f} to {:.2f} of the ratings alone", values.judges("good")),
            ("is wrong in at least {:.2f} % of the draws", values.judges("wrong")),
        ],
        "power.json": [("{:,} drawn ones above, differ by at most {:.2f} points", values.power_checks)],
    },
}
