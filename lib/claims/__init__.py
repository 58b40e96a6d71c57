"""From records to verdicts: measures, rules, intervals over seeds."""
