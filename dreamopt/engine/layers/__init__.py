"""The layer types, one a file; `dreamopt.engine.layer.layer_class` finds them by file name."""
