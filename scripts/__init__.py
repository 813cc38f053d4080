"""What people run that is not the library; each module is a command behind a ``make`` target."""
