"""`python -m jaxvision`."""

from jaxvision.cli.main import main

raise SystemExit(main())
