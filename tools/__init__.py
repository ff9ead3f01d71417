"""What an agent may do: read, edit, run and check, each on checked paths or inside the sandbox."""
