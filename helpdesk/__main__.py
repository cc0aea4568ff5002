"""``python -m helpdesk`` is the same as ``helpdesk``."""

from helpdesk.cli.main import main

if __name__ == "__main__":
    main()
