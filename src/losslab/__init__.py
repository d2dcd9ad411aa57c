"""losslab: which loss function should I use here, and how sure am I?"""
