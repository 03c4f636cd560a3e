"""What to say about the machine in a bug report."""
import platform
import sys


def get_pretty_env_info():
    from .. import __version__, get_num_threads, version

    lines = [
        ("tiny_torch version", version.tiny_torch),
        ("PyTorch interface", str(__version__)),
        ("Python version", sys.version.replace("\n", " ")),
        ("Platform", platform.platform()),
        ("Processor", platform.processor() or platform.machine()),
        ("Threads", str(get_num_threads())),
    ]
    return "\n".join(f"{name}: {value}" for name, value in lines)


def main():
    sys.stdout.write(get_pretty_env_info() + "\n")


if __name__ == "__main__":
    main()
