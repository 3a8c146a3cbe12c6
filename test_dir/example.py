"""A creator and a runner: when a YAML grid and `--python_file` are not enough.

burnish create --func test_dir.example.creator
burnish run --func test_dir.example.runner --num_workers 4
"""

import os

import burnish

# Next to this file, named from the folder that burnish is started in, which is the jobs' folder too.
TRAIN = os.path.relpath(os.path.join(os.path.dirname(__file__), "train.py"))


def creator():
    """The jobs: a dict of equally long lists, one entry per job in each."""
    params = {
        "--model": ["logreg", "svm"],
        "--lr": ["1e-2", "1e-3"],
        "--seed": [0, 1],
        "--amp": [True, False],  # the bare flag, or nothing
    }
    return burnish.util.create_grid_search(params)


def runner(runner_args, job_dict):
    """The command for one job. burnish runs it, on the host and GPU that it chose, and writes down how it ends.

    `job_dict` maps every column to its text: {"JOB_ID": "3", "STATE": "NOT_RUNNING", "--model": "svm", …}.
    `runner_args` holds log_dir, prefix, host and gpus.
    """
    cmd = ["python3", TRAIN, *burnish.util.as_arguments(job_dict)]
    if job_dict["--model"] == "svm":
        cmd += ["--epochs", "20"]  # anything that a grid cannot say
    return burnish.util.run_subprocess_job(runner_args, job_dict, cmd)
