"""The sweep: sizes × policies × tasks decoded for real, graded, resumable, and handed to the laws."""
