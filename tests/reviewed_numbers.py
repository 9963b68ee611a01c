"""Numbers in the pages that nobody measured: a text of the page (of any page: EVERYWHERE), and what it is."""

EVERYWHERE = "*"

REVIEWED = {
    EVERYWHERE: {
        "Python 3.11 or 3.12": "supported versions, in pyproject.toml",
        "official 500 test": "size of PubMedQA's test set, by its authors",
        "batch 256": "setting of benchmarks/gpu_speed.py",
    },
    "ARCHITECTURE.md": {"blocks of 4,096 samples": "limit: BLOCK_SAMPLES of harness/scoring/questions.py"},
    "README.md": {
        "(version 1.1)": "of the schema of results",
        "a human annotator 78.0 % and 72.2 %": "published by Jin et al. 2019",
        "Intervals are 95 %": "definition",
        "below 25 discordant items": "limit of the exact test",
        "(5 points of accuracy, 5 % of perplexity, 2 points of ROUGE-L)": "definition of a relevant difference",
        "runs of 13 equal words": "limit: RUN of tasks/overlap.py",
        "96 + 36 synthetic rows, 66 synthetic": "rows that ship with medbench, in tasks/samples",
        "500 rows, 60 steps": "settings of the recipe",
        "200 rows outside": "setting of the recipe",
        "all but 100 rows": "setting of the recipe",
        "450 + 50 rows": "settings of the recipe",
        "trained on 450 rows": "setting of benchmarks/gpu_real.sh",
        "PubMedQA's 500 items outside": "size of PubMedQA without its test set",
        "256 prompts x 256 tokens and 200 PubMedQA questions": "settings of benchmarks/gpu_speed.py",
        "timed on 16 of the prompts": "setting of benchmarks/gpu_speed.py",
    },
    "CONTRIBUTING.md": {"if 90 % of its mutants": "limit: REQUIRED of benchmarks/mutation.py"},
    "SECURITY.md": {"more than 1 MB": "limit of training/recipes/strict_yaml.py"},
    "docs/gate.md": {
        "version 1.0": "of the schema of gate.json",
        "share 13 words": "limit: RUN of tasks/overlap.py",
        "5 % or 5 points": "default margins",
        "0.95 for superiority": "default confidence",
        "0.975 for": "default confidence",
        "two-sided 5 %": "level of the report's tests",
        "below 10 items": "limit of the tests",
    },
    "docs/reports.md": {
        "(200)": "default of report.samples",
        "would pass 2 MB": "limit of reports/page/answers.py",
    },
    "docs/results.md": {
        "50 held-out reasoning rows": "setting of benchmarks/gpu_real.sh",
        "version 1.1 of the tasks": "a version",
    },
    "docs/scoring.md": {
        "4,096 samples": "limit: BLOCK_SAMPLES of harness/scoring/questions.py",
        "vLLM 0.26": "a version",
        "exit codes 130 and 143": "by POSIX, 128 and the signal's number",
    },
    "docs/training.md": {
        "2 rows of 2,048 tokens": "setting of benchmarks/gpu_recipes.py",
        "for 60 steps see": "setting of benchmarks/gpu_backends.py",
        "issue 1945": "number of an issue",
    },
}
