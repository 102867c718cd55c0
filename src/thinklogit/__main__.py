"""`python -m thinklogit`, for launchers that start modules: torchrun, accelerate launch."""

from thinklogit.cli.app import main

if __name__ == "__main__":
    main()
