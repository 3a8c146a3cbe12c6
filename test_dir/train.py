"""Train a classifier on scikit-learn's handwritten digits: a small experiment that is a real one.

    python train.py --model mlp --lr 1e-2 --seed 1

Progress goes to stdout, a progress bar and warnings to stderr, and the metrics, as JSON, to the file that burnish names in
BURNISH_RESULT. `--fail` ends badly on purpose, each time in another way, to see what burnish makes of it.
"""

import argparse
import json
import os
import resource
import signal
import sys
import time
import warnings

# Several jobs share this machine: one thread each, unless you say otherwise. Must be set before NumPy is imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


def parse_arguments():
    parser = argparse.ArgumentParser(description="Train a classifier on handwritten digits.")
    parser.add_argument("--model", choices=["logreg", "mlp", "svm"], default="logreg")
    parser.add_argument("--lr", type=float, default=1e-2, help="learning rate")
    parser.add_argument("--hidden", type=int, default=32, help="width of the hidden layer (mlp)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--amp", action="store_true", help="train in single precision")
    parser.add_argument("--fail", choices=sorted(FAILURES), help="end badly, on purpose")
    return parser.parse_args()


def load_data(seed, dtype):
    """Images and labels to train on, then images and labels to test on."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).astype(dtype)
    train_x, test_x, train_y, test_y = train_test_split(images, labels, test_size=0.3, random_state=seed)
    return train_x, train_y, test_x, test_y


def make_model(args):
    """A model with `partial_fit`, which is one epoch."""
    from sklearn.linear_model import SGDClassifier
    from sklearn.neural_network import MLPClassifier

    if args.model == "mlp":
        return MLPClassifier((args.hidden,), learning_rate_init=args.lr, random_state=args.seed)
    loss = {"logreg": "log_loss", "svm": "hinge"}[args.model]
    return SGDClassifier(loss, learning_rate="constant", eta0=args.lr, random_state=args.seed)


def train(args):
    """Train for `--epochs` epochs and return the metrics of the last one."""
    import numpy

    train_x, train_y, test_x, test_y = load_data(args.seed, "float32" if args.amp else "float64")
    model = make_model(args)
    order = numpy.random.default_rng(args.seed)
    accuracy = 0.0
    begun = time.monotonic()
    for epoch in range(1, args.epochs + 1):
        shuffled = order.permutation(len(train_x))
        model.partial_fit(train_x[shuffled], train_y[shuffled], classes=range(10))
        accuracy = model.score(test_x, test_y)
        print(f"epoch {epoch}/{args.epochs}  accuracy {accuracy:.4f}", flush=True)
        show_progress(epoch, args.epochs)
    if accuracy < 0.5:
        warnings.warn(f"accuracy is only {accuracy:.2f}: is --lr {args.lr:g} right?", stacklevel=2)
    return {
        "accuracy": round(accuracy, 4),
        "train_accuracy": round(model.score(train_x, train_y), 4),
        "seconds": round(time.monotonic() - begun, 3),
    }


def show_progress(done, total):
    """A progress bar on stderr, as tqdm draws it: one line, drawn over and over."""
    filled = 20 * done // total
    end = "\n" if done == total else ""
    print(f"\r{100 * done // total:3d}%|{'#' * filled:<20}| {done}/{total}", end=end, file=sys.stderr, flush=True)


def write_result(metrics):
    """Hand the metrics to burnish, which shows them in `burnish results`. Without burnish: do nothing."""
    path = os.environ.get("BURNISH_RESULT")
    if path:
        with open(path, "w") as file:
            json.dump(metrics, file)


def fail_by_exit():
    sys.exit("failing on purpose")


def fail_by_signal():
    os.kill(os.getpid(), signal.SIGKILL)


def fail_by_stderr():
    """Not a failure at all: much on stderr, and exit code 0. What a job prints is never a verdict."""
    for number in range(100):
        print(f"Error: this is warning {number} and means nothing", file=sys.stderr)


def fail_by_oom():
    """Ask for more memory than a limit of 512 MiB allows: MemoryError."""
    resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))
    hoard = []
    while True:
        hoard.append(bytearray(16 << 20))


def fail_by_hanging():
    print("hanging until somebody cancels me", flush=True)
    while True:
        time.sleep(60)


FAILURES = {
    "exit": fail_by_exit,
    "hang": fail_by_hanging,
    "oom": fail_by_oom,
    "signal": fail_by_signal,
    "stderr": fail_by_stderr,
}


def main():
    args = parse_arguments()
    print(f"training {args.model} with lr {args.lr:g}, seed {args.seed}", flush=True)
    if args.fail:
        FAILURES[args.fail]()
        return
    metrics = train(args)
    write_result(metrics)
    print(f"accuracy {metrics['accuracy']:.4f} in {metrics['seconds']:.2f} s")


if __name__ == "__main__":
    main()
