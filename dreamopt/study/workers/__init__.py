"""Who makes a study's runs: this process, several processes, and how many of them, which is measured."""
