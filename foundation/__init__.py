"""The words everybody uses: settings, time, errors, log. Imports no other room."""
