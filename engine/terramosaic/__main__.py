"""``python -m terramosaic`` is the command, where its script is on no path."""

from terramosaic.cli.app import main

if __name__ == "__main__":
    main()
