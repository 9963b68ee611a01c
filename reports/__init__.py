"""What a run says: the results document, paired statistics, reports, README tables. Imports none of the others."""
