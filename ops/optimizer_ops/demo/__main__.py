"""`python -m optimizer_ops.demo`: the demo, and `--svg` for the picture in the README."""

import argparse
import sys

from optimizer_ops.demo.command import demo


def main() -> int:
    """Read the arguments and run; returns the exit code."""
    parser = argparse.ArgumentParser(prog="optimizer demo", description="A fleet of agents on simulated backends.")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the agents work")
    parser.add_argument("--agents", type=int, default=28, help="how many agents")
    parser.add_argument("--json", metavar="FILE", help="write the result to a file")
    parser.add_argument("--svg", metavar="FILE", help="write a picture of the last screen to a file")
    options = parser.parse_args()
    return demo(seconds=options.seconds, agents=options.agents, json_file=options.json, svg_file=options.svg)


if __name__ == "__main__":
    sys.exit(main())
