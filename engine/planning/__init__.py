"""What the planner (engine.planner, its one door) is made of: memory, step time, energy, search."""
