"""What a shell can complete after `qweft` (words), and the script that tells it so: a file for each shell."""
