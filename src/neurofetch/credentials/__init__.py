"""Who asks: credentials that were named, where their keys come from, and signatures."""
