"""`python -m fraud` is the command `fraud`."""

from fraud.cli.main import main

if __name__ == "__main__":
    main()
