"""The dashboard's screens: one file each, named as its template in templates/pages/."""
