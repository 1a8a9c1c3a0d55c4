"""Plans, reports and progress for people and for programs: text, bars, lines, JSON, flags."""
