"""Programs of the units as dataclasses, checked against every rule, to configuration words and back."""
