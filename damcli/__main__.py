"""``python -m damcli``."""

from damcli.cli.app import main

if __name__ == "__main__":
    main()
