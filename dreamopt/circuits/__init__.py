"""What weights say of units: expanded weights, strongest connections, effects on classes, units that are alike."""
