"""What several tests use: servers on loopback, processes, scenes and regions that are made up, real scenes."""
