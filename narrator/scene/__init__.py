"""Is this frame worth a caption?"""
