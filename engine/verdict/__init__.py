"""The parts of a verdict: facts, rules, shares, states, bars and remedies; the door is engine.verdict.judge."""
