"""What is chosen before the runs that are judged: learning rates, finalists, and the first config."""
