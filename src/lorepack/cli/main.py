"""The command `lorepack`: its verbs, loaded when they are asked for, and how it ends.

Exit codes: 0 done, 2 the user can mend it (one line on stderr), 3 a budget was not held, 1 a bug (a
traceback), 130 Ctrl-C.
SIGTERM ends the long verbs with 0 and a state to go on from.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from contextlib import nullcontext

import click

from lorepack import __version__, signals
from lorepack.errors import LorepackError, Stopped, suggest

VERBS = {
    "demo": "the whole job on the embedded world, in minutes",
    "facts": "import, make, check and look at files of facts",
    "synthesize": "write training and evaluation data from passages",
    "paraphrase": "word the questions of facts in other ways",
    "probe": "what does the model know of each fact?",
    "pack": "write facts into an adapter: probe, mix, train, audit, report",
    "train": "many adapters together, by a file of jobs",
    "tune": "weaken an adapter until it keeps to a budget for harm",
    "audit": "what did an adapter learn, and what did it cost?",
    "harm": "what did adapters cost on benchmarks?",
    "capacity": "how many bits does an adapter store?",
    "report": "write a run's report and model card again",
    "models": "which models are at hand, and what they need",
    "completion": "print the shell completion script",
}

RESUMED = frozenset(
    {
        "demo",
        "synthesize",
        "paraphrase",
        "probe",
        "pack",
        "train",
        "tune",
        "audit",
        "harm",
        "capacity",
    }
)
"""verbs that go on where they were stopped"""

HEEDS_TERM = frozenset({"demo", "pack", "train"})
"""verbs that end at a safe point, and with 0, when the system asks them to"""


class Verbs(click.Group):
    """A group whose verbs are imported when called, so that `--help` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order of the job."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one verb; None when there is none of this name."""
        if name not in VERBS:
            return None
        return importlib.import_module(f"lorepack.cli.{name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing any."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; a wrong name is answered with the one that was probably meant."""
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            raise click.UsageError(f"no verb {args[0]!r}{suggest(args[0], VERBS)}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="lorepack")
@click.option("--debug", is_flag=True, help="show the traceback of an error")
def cli(debug: bool) -> None:
    """Write knowledge into LoRA adapters, prove what was written, and prove what it cost."""


def main() -> None:
    """Run the command line and leave with its exit code."""
    debug = "--debug" in sys.argv
    if debug:  # allowed anywhere on the line, also after the verb
        sys.argv = [sys.argv[0], "--debug", *(a for a in sys.argv[1:] if a != "--debug")]
    verb = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    try:
        with signals.heeded() if verb in HEEDS_TERM else nullcontext():
            cli.main(standalone_mode=False)
    except click.exceptions.Exit as ending:
        sys.exit(ending.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        kept = "; finished stages are kept, the same command goes on from there"
        _leave(f"stopped{kept if verb in RESUMED else ''}", 130)
    except Stopped as ending:
        if "--json" in sys.argv:
            print(json.dumps({"stopped": str(ending)}))
        _leave(f"{ending}; what is finished is kept, the same command goes on from there", 0)
    except BrokenPipeError:  # `lorepack ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except LorepackError as error:
        if debug:
            raise
        _leave(f"error: {' '.join(str(error).split())}", 2)
    except OSError as error:
        if debug or error.filename is None:
            raise
        _leave(f"error: {error.filename}: {error.strerror}", 2)


def _leave(message: str, code: int) -> None:
    print(f"lorepack: {message}", file=sys.stderr)
    sys.exit(code)
