"""Everything that learns, judges or looks back: makes appraisers and hands them to the registry."""
